"""`asd export`: a finished run as one file for machines without torch."""

import argparse
import importlib.util
from pathlib import Path

MODULES = ("onnx", "onnxruntime", "onnxscript")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = commands.add_parser("export", help="a run as one file to deploy", description=export.__doc__)
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="outputs/<name>/<machine>/<run>/<phase>")
    parser.add_argument("--out", type=Path, metavar="FILE", help="(MACHINE.asd in the working directory)")
    parser.add_argument("--format", choices=("onnx",), default="onnx", help="of the network (%(default)s)")
    parser.add_argument("--scorer", help="whose settings and training scores (cosine; a baseline's own)")
    parser.add_argument("--section", type=int, action="append", help="only this one; may be repeated (all)")
    parser.add_argument("--references", type=int, metavar="N", help="keep at most N of a section's references (all)")
    parser.add_argument("--fp16", action="store_true", help="weights and references in half the bytes")
    parser.add_argument(
        "--window", type=float, default=10.0, metavar="SECONDS", help="of one score when listening (%(default)g)"
    )
    parser.set_defaults(command=export)


def export(options: argparse.Namespace) -> int:
    """Writes a finished, evaluated run as one file: network, references, training scores, settings, identity.

    Raises:
        ValueError: Packages of the extra `export` are missing, or the run cannot be exported.
    """
    if missing := [name for name in MODULES if importlib.util.find_spec(name) is None]:
        raise ValueError(f"asd export needs {', '.join(missing)}: pip install 'asd[runtime]'")
    from asd.inference.export import build_model
    from asd.inference.export_run import exported_detector
    from asd.system.files import remove_leftovers, replacing
    from asd_runtime.model_file import write_model

    detector = exported_detector(options.run, scorer=options.scorer, only=options.section, clip_seconds=options.window)
    model = build_model(detector, n_references=options.references, fp16=options.fp16)
    out = options.out or Path(f"{model.identity.machine}.asd")
    with replacing(out) as temporary:
        remove_leftovers(out.parent, out.name, below=False)
        write_model(temporary, model)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {model.identity.machine}, sections {sorted(model.sections)}")
    for note in model.notes.get("references", ()):
        cost = (
            "one section alone: no AUC"
            if note["auc"] is None
            else f"AUC {note['auc_with_all']:.4f} → {note['auc']:.4f}"
        )
        print(f"section {note['section']:02d}: {note['kept']} of {note['of']} references kept, {cost}")
    return 0
