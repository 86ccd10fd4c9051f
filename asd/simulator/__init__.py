"""How the simulated factory sounds: machines, their faults, what surrounds them, one recording."""
