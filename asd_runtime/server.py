"""Detectors behind HTTP: a recording in, its score, verdict and curve out, as JSON; metrics, OpenAPI, a small page."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from asd_runtime import __version__
from asd_runtime.detector import Detector
from asd_runtime.model_file import Domain
from asd_runtime.verdict import DEFAULT_RULE
from asd_runtime.waveform import TooLongError, read_sound

PAGE = Path(__file__).with_name("page.html")
# The page fetches from this server alone, and no other page may frame it.
PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; style-src 'unsafe-inline'; connect-src 'self'; "
    "media-src blob:; frame-ancestors 'none'"
)
SOUND_BODY = {"requestBody": {"required": True, "content": {"audio/*": {"schema": {"format": "binary"}}}}}


@dataclass(frozen=True)
class Limits:
    """What one request may take, and how many there may be.

    Attributes:
        max_bytes: Of a body.
        max_seconds: Of sound.
        timeout: Seconds in which a body must arrive, and which a request waits for its turn.
        at_once: Recordings that are scored at a time, a thread each.
        waiting: Requests that may wait.
    """

    max_bytes: int = 16_000_000
    max_seconds: float = 60.0
    timeout: float = 30.0
    at_once: int = 2
    waiting: int = 16

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name}={value:g}: must be above 0")


class ModelInfo(BaseModel):
    """What a detector knows."""

    name: str
    machine: str
    run: str
    sample_rate: int
    sections: list[int]
    has_clips: bool


class Scored(BaseModel):
    """Score, verdict and curve of a recording; higher = more anomalous."""

    model: str
    section: int
    score: float
    share_below: float
    threshold: float
    warnings: list[str]
    verdict: Literal["normal", "anomalous"]
    seconds: list[float]
    pieces: list[float]
    nearest: list[str]


@dataclass
class Metrics:
    """Figures for Prometheus."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        registry = self.registry
        self.requests = Counter("asd_requests", "Requests answered", ["path", "status"], registry=registry)
        self.scores = Counter("asd_scores", "Recordings scored", ["model", "section", "verdict"], registry=registry)
        self.seconds = Histogram("asd_scoring_seconds", "Decoding and scoring of a recording", registry=registry)
        self.in_flight = Gauge("asd_in_flight", "Recordings received, waiting or being scored", registry=registry)


class Scoring:
    """Detectors and their limits.

    Args:
        detectors: By the name that requests use.
        limits: Of requests.
        clips: Root of the training data, to hear the nearest normal clips; None: they are not offered.
    """

    def __init__(self, detectors: Mapping[str, Detector], limits: Limits, clips: Path | None) -> None:
        self.detectors = detectors
        self.limits = limits
        self.clips = clips
        self.metrics = Metrics()
        self.in_flight = 0
        self.turn = asyncio.Semaphore(limits.at_once)

    def find(self, model: str | None) -> tuple[str, Detector]:
        """The detector of a name, or the only one; 404 where there is none."""
        known = sorted(self.detectors)
        name = known[0] if model is None and len(known) == 1 else model
        if name is None or name not in self.detectors:
            raise HTTPException(404, f"model={name}: give one of {', '.join(known)}")
        return name, self.detectors[name]

    async def score(
        self, request: Request, model: str | None, section: int | None, threshold: str, domain: Domain
    ) -> Scored:
        """Scores a body as soon as it has arrived and a thread is free; 503 where too many wait already."""
        name, detector = self.find(model)
        if self.in_flight >= self.limits.at_once + self.limits.waiting:
            raise HTTPException(
                503, f"{self.in_flight} recordings are waiting already; try again", {"Retry-After": "1"}
            )
        self.in_flight += 1
        try:
            with self.metrics.in_flight.track_inprogress():
                body = await self.body(request)
                await self.take_turn()
                try:
                    found = await run_in_threadpool(self.score_body, name, detector, body, section, threshold, domain)
                finally:
                    self.turn.release()
        finally:
            self.in_flight -= 1
        self.metrics.scores.labels(name, found.section, found.verdict).inc()
        return found

    async def body(self, request: Request) -> bytes:
        """The body of a request; 413 where it is too large, 408 where it comes too slowly, 400 where it is empty."""
        limit, received = self.limits.max_bytes, bytearray()
        too_large = HTTPException(413, f"the body is larger than {limit / 1e6:g} MB")
        promised = request.headers.get("content-length", "0")
        if promised.isdecimal() and int(promised) > limit:
            raise too_large
        try:
            async with asyncio.timeout(self.limits.timeout):
                async for part in request.stream():
                    received += part
                    if len(received) > limit:
                        raise too_large
        except ClientDisconnect:
            raise HTTPException(400, "the connection ended before the body did") from None
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive within {self.limits.timeout:g} s") from None
        if not received:
            raise HTTPException(400, "the body is empty; send a recording, as in: curl --data-binary @clip.wav …")
        return bytes(received)

    async def take_turn(self) -> None:
        """Waits until a thread is free; 503 where it takes too long."""
        try:
            async with asyncio.timeout(self.limits.timeout):
                await self.turn.acquire()
        except TimeoutError:
            message = f"no thread was free within {self.limits.timeout:g} s; try again"
            raise HTTPException(503, message, {"Retry-After": "10"}) from None

    def score_body(
        self, name: str, detector: Detector, body: bytes, section: int | None, threshold: str, domain: Domain
    ) -> Scored:
        """Decodes and scores; 422 for what cannot be scored."""
        with self.metrics.seconds.time():
            samples, rate = self.decoded(body, detector.sample_rate)
            try:
                found = detector.score(samples, rate, section, threshold=threshold, domain=domain)
            except ValueError as error:
                raise HTTPException(422, str(error)) from None
        return Scored(
            model=name,
            section=found.section,
            score=found.score,
            share_below=found.share_below,
            threshold=found.threshold.value,
            warnings=list(found.threshold.warnings),
            verdict="anomalous" if found.is_anomalous else "normal",
            seconds=found.seconds.tolist(),
            pieces=found.pieces.tolist(),
            nearest=found.nearest.tolist(),
        )

    def decoded(self, body: bytes, sample_rate: int) -> tuple[NDArray[Any], int]:
        """The samples of a body and their rate; 413 where they are too many, 415 where it is no sound."""
        try:
            with NamedTemporaryFile() as file:  # libsndfile meets damage in memory with calls that Python cannot answer
                file.write(body)
                file.flush()
                return read_sound(Path(file.name), max_samples=int(self.limits.max_seconds * sample_rate))
        except TooLongError as error:
            raise HTTPException(413, str(error)) from None
        except ValueError as error:
            raise HTTPException(415, str(error)) from None

    def clip(self, model: str | None, name: str) -> Path:
        """The file of a training clip; 404 for any other name, whatever it leads to."""
        _, detector = self.find(model)
        if self.clips is None:
            raise HTTPException(404, "this server was started without --clips FOLDER, the root of the training data")
        if any(name in section.clips for section in detector.model.sections.values()):  # of others no path is made
            path = (self.clips / name).resolve()
            if path.is_relative_to(self.clips.resolve()) and path.is_file():
                return path
        raise HTTPException(404, f"name={name}: no training clip of this model in the folder of --clips")


def create_app(
    detectors: Mapping[str, Detector],
    limits: Limits,
    *,
    token: str | None = None,
    hosts: Sequence[str] = ("*",),
    clips: Path | None = None,
) -> FastAPI:
    """The application.

    Args:
        detectors: By name.
        limits: Of requests.
        token: That all requests but `/` and `/health` must bear; None: they need none.
        hosts: Names of this server; requests for another one are refused, so that no foreign page gets here by DNS.
        clips: Root of the training data, if the nearest normal clips are to be heard.
    """
    app = FastAPI(title="asd", version=__version__, docs_url=None, redoc_url=None)  # these two load from the internet
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    scoring = Scoring(detectors, limits, clips)
    app.middleware("http")(counted(scoring.metrics))
    app.exception_handler(RequestValidationError)(in_words)
    app.include_router(open_routes(scoring))
    app.include_router(routes(scoring), dependencies=[Depends(bearer_of(token))] if token else [])
    return app


def open_routes(scoring: Scoring) -> APIRouter:
    """What needs no token and tells nothing."""
    router = APIRouter()

    @router.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        """Drop or record a clip and see its curve."""
        return FileResponse(PAGE, headers={"Content-Security-Policy": PAGE_POLICY})

    @router.get("/health")
    async def health() -> dict[str, str | int]:
        """Whether the server answers."""
        return {"status": "ok", "version": __version__, "models": len(scoring.detectors)}

    return router


def routes(scoring: Scoring) -> APIRouter:
    """What needs the token."""
    router = APIRouter()

    @router.get("/metrics")
    async def metrics() -> Response:
        """Figures in the text format of Prometheus."""
        return Response(generate_latest(scoring.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @router.get("/models")
    async def models() -> list[ModelInfo]:
        """The detectors that are served."""
        return [
            info(name, detector, has_clips=scoring.clips is not None) for name, detector in scoring.detectors.items()
        ]

    @router.get("/clip", response_class=FileResponse)
    def clip(name: str, model: str | None = None) -> FileResponse:
        """A training clip, by its name in `nearest`."""
        return FileResponse(scoring.clip(model, name))

    @router.post("/score", openapi_extra=SOUND_BODY)
    async def score(
        request: Request,
        model: str | None = None,
        section: Annotated[int | None, Query(ge=0)] = None,
        threshold: Annotated[str, Query(max_length=100)] = DEFAULT_RULE,
        domain: Domain = "both",
    ) -> Scored:
        """Scores the recording in the body: WAV, FLAC or whatever else libsndfile reads."""
        return await scoring.score(request, model, section, threshold, domain)

    return router


def info(name: str, detector: Detector, *, has_clips: bool) -> ModelInfo:
    """What a detector knows."""
    model = detector.model
    return ModelInfo(
        name=name,
        machine=model.identity.machine,
        run=model.identity.run,
        sample_rate=detector.sample_rate,
        sections=sorted(model.sections),
        has_clips=has_clips,
    )


def bearer_of(token: str) -> Callable[..., None]:
    """What lets requests through that bear the token, and answers 401 to others."""
    scheme = HTTPBearer(auto_error=False)

    def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(scheme)]) -> None:
        if given is None or not secrets.compare_digest(given.credentials.encode(), token.encode()):
            raise HTTPException(401, "give the token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})

    return check


def counted(metrics: Metrics) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    """Middleware that counts answers by route and status."""

    async def count(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await answer(request)
        route: Any = request.scope.get("route")
        metrics.requests.labels(getattr(route, "path", "other"), response.status_code).inc()
        return response

    return count


async def in_words(_: Request, error: Exception) -> JSONResponse:
    """What is wrong with a query, as one sentence; 422."""
    assert isinstance(error, RequestValidationError)
    wrong = "; ".join(f"{mistake['loc'][-1]}: {mistake['msg']}" for mistake in error.errors())
    return JSONResponse({"detail": wrong}, 422)
