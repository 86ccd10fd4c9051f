"""Table 2 of the report: harmonic mean of AUC and of partial AUC in percent, DCASE 2021 development set."""

MACHINES = ("ToyCar", "ToyTrain", "fan", "gearbox", "pump", "slider", "valve")  # its columns, in its order
REPORT_DATA = "dcase2021"  # the configuration `data` of the data set that it was measured on

_AUC_AND_PAUC = {
    "Autoencoder baseline": (
        "62.49/52.36  61.71/53.81  63.24/53.38  65.97/52.76  61.92/54.41  66.74/55.94  53.41/50.54"
    ),
    "MobileNetV2 baseline": (
        "56.04/56.37  57.46/51.61  61.56/63.02  66.70/59.16  61.89/57.37  59.26/56.00  56.51/52.64"
    ),
    "Submission 1 (best model)": (
        "76.12/62.65  72.00/59.92  76.61/71.45  80.58/55.32  71.66/62.74  81.67/68.16  70.11/56.23"
    ),
    "Submission 2 (top 3)": (
        "77.34/62.81  71.42/60.43  76.26/70.91  80.68/55.59  72.73/62.89  81.48/68.50  69.82/56.41"
    ),
    "Submission 3 (top 5)": (
        "78.03/65.37  71.30/60.49  75.10/70.58  80.26/55.22  71.73/62.71  81.65/68.82  69.99/56.83"
    ),
    "Submission 4 (all six)": (
        "77.69/64.20  70.90/58.98  72.97/69.03  79.71/54.00  71.37/62.67  80.88/68.45  69.38/57.20"
    ),
}


def _pair(cell: str) -> tuple[float, float]:
    auc, pauc = cell.split("/")
    return float(auc), float(pauc)


# system -> machine -> (AUC, pAUC) in percent
TABLE_2: dict[str, dict[str, tuple[float, float]]] = {
    system: dict(zip(MACHINES, map(_pair, line.split()), strict=True)) for system, line in _AUC_AND_PAUC.items()
}
