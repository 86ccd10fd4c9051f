"""`asd-runtime`: score recordings, listen to a machine, serve over HTTP, without torch.

`asd listen` and `asd serve` are the same commands.
"""

import argparse
import ipaddress
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asd_runtime.detector import Detector
    from asd_runtime.verdict import ClipScore

# Before numpy is imported: threads that wait by spinning take the cores of other programs.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

DOMAINS = ("both", "source", "target")
EXPORTED = "what asd export wrote"
EXIT_ANOMALOUS = 1
EXIT_MISTAKE = 2
SHORTEST_TOKEN = 16  # characters
HOP_SECONDS = 2.048  # between the scores of a stream
RULE = "official, quantile=0.99, per-day=1 (false alarms a day), or a number (%(default)s)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; a mistake of the user's is one message and exit code 2."""
    parser = argparse.ArgumentParser(prog="asd-runtime", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_score(commands)
    add_listen(commands)
    add_serve(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.command(options))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return EXIT_MISTAKE


def user_path(text: str) -> Path:
    """A path as typed; `~`, which a shell leaves in `--events=~/x` and systemd everywhere, is the home folder."""
    return Path(text).expanduser()


def finite(text: str) -> float:
    """A finite number, as typed."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def add_model(parser: argparse.ArgumentParser, metavar: str, what: str) -> None:
    """The options that both commands have."""
    parser.add_argument("model", type=user_path, metavar=metavar, help=what)
    parser.add_argument("--section", type=int, help="whose normal sound it is compared with (the only one)")
    parser.add_argument("--domain", choices=DOMAINS, default="both", help="whose training clips count (both)")


def add_score(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", metavar: str = "MODEL", what: str = EXPORTED
) -> argparse.ArgumentParser:
    """Adds `score`, of what `metavar` and `what` say."""
    parser = commands.add_parser("score", help="score recordings", description=score.__doc__)
    add_model(parser, metavar, what)
    parser.add_argument("clips", type=user_path, nargs="+", metavar="clip.wav", help="recordings to score")
    parser.add_argument("--threshold", default="quantile=0.9", help=RULE)
    parser.add_argument("--hop", type=finite, metavar="SECONDS", help="between scores, which per-day needs")
    parser.add_argument("--nearest", type=int, default=0, metavar="N", help="also the N nearest training clips")
    parser.add_argument("--json", action="store_true", help="in JSON, with the pieces and their nearest training clips")
    parser.add_argument("--fail-on-anomaly", action="store_true", help="exit code 1 where a recording is anomalous")
    parser.set_defaults(command=score, exit_on_mistake=EXIT_MISTAKE, opened=open_model, tracked=clips)
    return parser


def clips(options: argparse.Namespace) -> Iterable[Path]:
    """The recordings that `score` is to score."""
    return options.clips


def score(options: argparse.Namespace) -> int:
    """Prints score, share of training clips below, threshold, verdict and name of each recording, between tabs."""
    score_file, found = options.opened(options), {}
    for path in options.tracked(options):
        found[str(path)] = clip = score_file(path)
        if not options.json:
            nearest = [", ".join(clip.nearest_clips(options.nearest))] if options.nearest else []
            figures = [repr(clip.score), f"{clip.share_below:.1%}", f"{clip.threshold.value:.6g}", clip.verdict]
            print(*figures, path, *nearest, sep="\t", flush=True)
    if options.json:
        print(json.dumps({path: clip.plain() for path, clip in found.items()}, indent=2))
    for warning in sorted({f"threshold {c.threshold.rule}: {w}" for c in found.values() for w in c.threshold.warnings}):
        print(warning, file=sys.stderr)
    return EXIT_ANOMALOUS if options.fail_on_anomaly and any(clip.is_anomalous for clip in found.values()) else 0


def open_model(options: argparse.Namespace) -> "Callable[[Path], ClipScore]":
    """What scores a file with an exported model."""
    from asd_runtime import load

    return partial(load(options.model).score_file, **verdict_options(options))


def verdict_options(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of a detector that the options of `score` are."""
    return {
        "section": options.section,
        "threshold": options.threshold,
        "domain": options.domain,
        "hop_seconds": options.hop,
    }


def add_listen(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `listen`."""
    parser = commands.add_parser("listen", help="watch a machine", description=listen.__doc__)
    add_model(parser, "MODEL", EXPORTED)
    parser.add_argument(
        "source", nargs="?", default="microphone", metavar="-|FILE|FOLDER",
        help="raw 16-bit mono samples from a pipe, a recording, a folder of them (the microphone)",
    )  # fmt: skip
    parser.add_argument("--device", help="microphone, by name")
    parser.add_argument("--rate", type=int, help="of raw samples, in Hz; must be the model's")
    parser.add_argument("--follow", action="store_true", help="wait for more recordings in the folder")
    parser.add_argument("--hop", type=finite, metavar="SECONDS", help=f"between scores ({HOP_SECONDS}, or close to it)")
    parser.add_argument("--threshold", default="per-day=1", help=RULE)
    parser.add_argument("--off", type=finite, metavar="SCORE", help="where an alarm ends (the threshold)")
    parser.add_argument("--min-seconds", type=finite, default=0.0, help="of an alarm, and of its end (%(default)g)")
    parser.add_argument("--events", type=user_path, metavar="FILE", help="append events as JSON lines")
    parser.add_argument("--snippets", type=user_path, metavar="FOLDER", help="keep the window that began each alarm")
    parser.add_argument("--snippets-mb", type=finite, default=100.0, metavar="MB", help="that they take (%(default)g)")
    parser.set_defaults(command=listen)


def listen(options: argparse.Namespace) -> int:
    """Scores sound without end: a line on standard error for each window, an event in JSON for each change."""
    from asd_runtime import load
    from asd_runtime.listening import Alarm, Event, Listener
    from asd_runtime.snippets import Snippets
    from asd_runtime.verdict import find_threshold
    from asd_runtime.windows import cut

    detector = load(options.model)
    section, rate = detector.find_section(options.section), detector.sample_rate
    hop = hop_samples(options.hop, detector)
    found = find_threshold(section, options.threshold, domain=options.domain, hop_seconds=hop / rate)
    for warning in found.warnings:
        print(f"threshold {found.rule}: {warning}", file=sys.stderr)
    off = found.value if options.off is None else options.off
    listener = Listener(detector, section, Alarm(found.value, off, options.min_seconds), options.domain)
    snippets = Snippets(options.snippets, int(options.snippets_mb * 1e6), rate) if options.snippets else None
    last = None
    windows = cut(stream(options, rate), length=detector.model.clip_samples, hop=hop)
    for heard in listener.listen(windows):
        if isinstance(heard, Event):
            report(json.dumps(heard.plain(), allow_nan=False), options.events)
            if heard.event == "alarm-begins" and snippets and last is not None:
                snippets.keep(heard.seconds, last.samples)
        else:
            last = heard
            print(f"{heard.seconds:9.1f} s  {heard.level:6.1f} dB  {heard.score:.6g}  {heard.state}", file=sys.stderr)
    return 0


def hop_samples(seconds: float | None, detector: "Detector") -> int:
    """Samples from one window to the next, as asked; if nothing is, so many that neighbours share pieces."""
    rate, step = detector.sample_rate, detector.piece_step
    asked = round((HOP_SECONDS if seconds is None else seconds) * rate)
    if step is None or asked % step == 0 or asked >= detector.model.clip_samples:
        return asked
    aligned = max(1, round(asked / step)) * step
    if seconds is None:
        return aligned
    print(
        f"--hop {seconds:g}: neighbouring windows share no piece, and each is computed anew; "
        f"with --hop {aligned / rate:g} they share most",
        file=sys.stderr,
    )
    return asked


def stream(options: argparse.Namespace, rate: int) -> Iterator:
    """The sound that was asked for.

    Raises:
        ValueError: Raw samples of another rate than the model's.
    """
    from asd_runtime import sources

    if options.rate not in (None, rate):
        raise ValueError(f"--rate {options.rate}: the model takes {rate} Hz. Resample it: ffmpeg … -ar {rate}")
    if options.source == "microphone":
        return sources.microphone(rate, options.device)
    if options.source == "-":
        return sources.pipe(sys.stdin.buffer, rate)
    return sources.recordings(user_path(options.source), rate, follow=options.follow)


def report(line: str, events: Path | None) -> None:
    """Prints an event and appends it to a file."""
    print(line, flush=True)
    if events is not None:
        with open(events, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `serve`."""
    description = (serve.__doc__ or "").partition("\n")[0]
    parser = commands.add_parser("serve", help="score recordings over HTTP", description=description)
    parser.add_argument("models", type=user_path, nargs="+", metavar="MODEL", help="what asd export wrote")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address; one that others reach needs a token (%(default)s)"
    )
    parser.add_argument("--port", type=int, default=8000, help="(%(default)s)")
    parser.add_argument("--token-file", type=user_path, metavar="FILE", help="holds what requests must bear")
    parser.add_argument(
        "--clips", type=user_path, metavar="FOLDER", help="root of the training data, to hear nearest clips"
    )
    parser.add_argument("--max-mb", type=finite, default=16, metavar="MB", help="of a recording (%(default)g)")
    parser.add_argument(
        "--max-seconds", type=finite, default=60, metavar="SECONDS", help="of a recording (%(default)g)"
    )
    parser.add_argument(
        "--timeout", type=finite, default=30, metavar="SECONDS", help="to receive a recording, to wait (%(default)g)"
    )
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="scored together (%(default)s)")
    parser.add_argument("--waiting", type=int, default=16, help="requests that may wait (%(default)s)")
    parser.set_defaults(command=serve)


def serve(options: argparse.Namespace) -> int:
    """Answers recordings with score, verdict and curve: POST /score; /health, /metrics, /openapi.json, a page at /.

    Raises:
        ValueError: FastAPI or uvicorn is missing, two models have one name, or another address has no token.
    """
    token = read_token(options.token_file)
    if not token and not is_loopback(options.host):
        raise ValueError(f"--host {options.host}: whoever reaches it could use it; give --token-file FILE")
    try:
        import uvicorn

        from asd_runtime.server import Limits, create_app
    except ImportError as error:
        raise ValueError(
            f"serve needs more packages ({error}): in the checkout, pip install './runtime[serve]'"
        ) from None
    from asd_runtime import load

    detectors = {path.stem: load(path) for path in options.models}
    if len(detectors) < len(options.models):
        raise ValueError("two models have one name; rename a file")
    limits = Limits(int(options.max_mb * 1e6), options.max_seconds, options.timeout, options.at_once, options.waiting)
    hosts = ["*"] if token else ["localhost", "127.0.0.1", "[::1]", options.host]
    app = create_app(detectors, limits, token=token, hosts=hosts, clips=options.clips)
    connections = 4 * (limits.at_once + limits.waiting)
    uvicorn.run(app, host=options.host, port=options.port, limit_concurrency=connections, server_header=False)
    return 0


def read_token(path: Path | None) -> str | None:
    """The token in a file.

    Raises:
        ValueError: It is shorter than 16 characters, or no header can carry it.
    """
    if path is None:
        return None
    token = path.read_text(encoding="utf-8").strip()
    if len(token) < SHORTEST_TOKEN:
        raise ValueError(f"{path}: a token of {len(token)} characters; give {SHORTEST_TOKEN} or more")
    if not (token.isascii() and token.isprintable()):
        raise ValueError(f"{path}: a token of one line of ASCII is needed; no header carries another one")
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
