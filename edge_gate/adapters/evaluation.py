"""The command `evaluate`: a folder of photos to printed error rates and a plot.

Layout: `FOLDER/riders/<person>/*.jpg` and `FOLDER/strangers/*.jpg`. Nothing of a face is kept.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cloud_sync import calibration
from cloud_sync.calibration import Calibration
from edge_gate import error_rate, evaluate, presentation
from edge_gate.adapters import opencv, plot
from edge_gate.error_rate import Rate, Searches
from edge_gate.evaluate import Photo, Seen
from edge_gate.eye import Eye
from edge_gate.face import Image

TARGETS = (1e-2, 1e-3)
"""The FPIRs that are reported."""
_LIVENESS_PHOTOS = 200
"""Live photos of the liveness report, and attacks of each kind."""
_SPLITS, _SEED, _DECADES = 6, 7, 3.0
"""Of a calibration: deals of photos into template and probes; and how far below the counted
FMR the tail is believed. At 1.8 decades it was tested (see `calibration.Calibration`)."""


class NotAFolderOfFaces(Exception):
    """The folder does not hold riders and strangers."""


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What the command line asks for."""

    folder: Path
    photos: int = 1
    """How many of a rider's photos are enrolled, at least 1."""
    plot: Path | None = Path("det.png")
    """Where the DET plot goes; None for none."""
    riders_max: int | None = None
    """Only the first so many riders, and as many strangers and a half: a quick look."""
    calibrate: bool = False
    """Print the calibration of this model for the manifest."""


def run(
    options: EvaluateOptions,
    eye: Eye,
    *,
    known: Calibration | None,
    say: Callable[[str], None] = print,
    live_min: float = 0.35,
) -> int:
    """Evaluate a pack and say the results.

    Args:
        options: From the command line.
        eye: The opened pack.
        known: The pack's calibration, to hold its promises against what is seen here.
        say: Takes one line.
        live_min: Liveness score that the gate asks for.

    Returns:
        The exit status: 0, or 2 when the folder does not fit.
    """
    try:
        photos = list_photos(options.folder, riders_max=options.riders_max)
        seen = evaluate.look(photos, eye, progress=partial(_progress, len(photos)))
        galleries = [
            evaluate.search(seen, photos=options.photos, size=size) for size in _sizes(seen)
        ]
    except (NotAFolderOfFaces, ValueError) as error:
        say(f"evaluate: {error}")
        return 2
    unseen = sum(one.embedding is None for one in seen)
    say(f"model {eye.embedder.model_id}; {len(seen)} photos, {unseen} without a face found")
    say(f"{options.photos} photo(s) enrolled a rider; intervals are 95 % over redrawn people")
    for searches in galleries:
        _say_gallery(searches, known, say)
    if options.plot is not None:
        curves = {f"{one.size} riders": error_rate.det(one) for one in galleries}
        plot.det_plot(curves, options.plot, title=f"{eye.embedder.model_id}, DET")
        say(f"DET plot: {options.plot}")
    _say_liveness(photos, eye, live_min, say)
    if options.calibrate:
        _say_calibration(seen, options.photos, say)
    return 0


def list_photos(folder: Path, *, riders_max: int | None = None) -> list[Photo]:
    """Return the photos of a folder, riders first, each by name.

    Args:
        folder: With `riders/<person>/*.jpg` and `strangers/*.jpg`.
        riders_max: Only so many riders, and half as many again strangers.

    Raises:
        NotAFolderOfFaces: One of the two is missing or empty.
    """
    riders = sorted(path for path in (folder / "riders").glob("*") if path.is_dir())[:riders_max]
    others = None if riders_max is None else riders_max * 3 // 2
    strangers = sorted((folder / "strangers").glob("*.jpg"))[:others]
    photos = [
        Photo(rider.name, rider=True, read=partial(_read, path))
        for rider in riders
        for path in sorted(rider.glob("*.jpg"))
    ]
    if not photos or not strangers:
        raise NotAFolderOfFaces(f"{folder} needs riders/<person>/*.jpg and strangers/*.jpg")
    return photos + [
        Photo(f"stranger {path.stem}", rider=False, read=partial(_read, path)) for path in strangers
    ]


def _read(path: Path) -> Image:
    return opencv.decode(path.read_bytes())


def _progress(whole: int, done: int) -> None:
    if sys.stderr.isatty() and (done % 20 == 0 or done == whole):
        sys.stderr.write(f"\revaluate: {done} of {whole} photos{' ' * 4}")
        sys.stderr.write("\n" if done == whole else "")
        sys.stderr.flush()


def _sizes(seen: Sequence[Seen]) -> list[int]:
    """Return all riders, a half and a quarter of them."""
    riders = len({one.person for one in seen if one.rider})
    return sorted({max(1, riders // 4), max(1, riders // 2), riders})


def _say_gallery(searches: Searches, known: Calibration | None, say: Callable[[str], None]) -> None:
    strangers = len(searches.strangers)
    say(
        f"gallery {searches.size:4}: rank-1 {_shown(error_rate.rank_one(searches))} of"
        f" {len(searches.mated)} probes; {strangers} searches by strangers"
    )
    for target in TARGETS:
        missed = error_rate.miss(searches, target)
        warning = "" if missed.enough else f"  (too few: {strangers} cannot show {target:g})"
        say(f"  FPIR {target:g}: FNIR {_shown(missed.fnir)} at score {missed.score:.3f}{warning}")
        if known is not None:
            promised = known.threshold(searches.size, target)
            fpir, fnir = error_rate.at_score(searches, promised.score)
            note = ", extrapolated" if promised.extrapolated else ""
            say(
                f"    model card T({searches.size}, {target:g}) = {promised.score:.3f}{note}:"
                f" FPIR seen {fpir:.2%}, FNIR seen {fnir:.2%}"
            )


def _shown(rate: Rate) -> str:
    return f"{rate.value:.2%} [{rate.low:.2%}, {rate.high:.2%}]"


def _say_liveness(
    photos: Sequence[Photo], eye: Eye, live_min: float, say: Callable[[str], None]
) -> None:
    random = np.random.default_rng(1)
    chosen = random.choice(len(photos), min(_LIVENESS_PHOTOS, len(photos)), replace=False)
    pictures = [photos[i].read() for i in chosen]
    live = live_scores(pictures, eye)
    say(
        f"liveness, one frame: {np.mean(live < live_min):.1%} of {len(live)} live faces are below"
        f" {live_min}; attacks are simulated, so take the figures as an upper bound"
    )
    for instrument in presentation.Instrument:
        for edges in (True, False):
            how = presentation.Presentation(instrument, edges)
            attacks = live_scores(
                [presentation.presented(picture, how, random) for picture in pictures], eye
            )
            say(
                f"  {instrument} {'with' if edges else 'without'} its edges in view:"
                f" AUC {presentation.auc(live, attacks):.3f},"
                f" {np.mean(attacks >= live_min):.1%} pass"
            )


def live_scores(pictures: Sequence[Image], eye: Eye) -> npt.NDArray[np.float64]:
    """Return the liveness score of each picture's central face; pictures without are left out.

    Args:
        pictures: Each BGR uint8, shape (H, W, 3).
        eye: Detector and liveness model.

    Returns:
        float64, shape (N,) or shorter.
    """
    scores = []
    for picture in pictures:
        height, width = picture.shape[:2]
        face = evaluate.central(eye.detector.detect(picture), width=width, height=height)
        if face is not None:
            scores.append(eye.liveness.live(picture, face))
    return np.array(scores)


def calibrated(seen: Sequence[Seen], *, photos: int) -> Calibration:
    """Fit a calibration to what the eye made of the photos.

    Args:
        seen: All photos.
        photos: How many of a rider's photos make a template.

    Raises:
        ValueError: There are too few people.
    """
    impostor, mated, pairs = evaluate.pair_scores(seen, photos=photos, splits=_SPLITS, seed=_SEED)
    return calibration.fit(impostor, mated, pairs=pairs, decades=_DECADES)


def _say_calibration(seen: Sequence[Seen], photos: int, say: Callable[[str], None]) -> None:
    try:
        fitted = calibrated(seen, photos=photos)
    except ValueError as error:
        say(f"no calibration: {error}")
        return
    say("calibration, for the manifest:")
    for field in ("tail_from", "tail_share", "tail_mean", "fmr_counted", "fmr_min"):
        say(f"{field} = {getattr(fitted, field):.4g}")
    say(f"mated = [{', '.join(f'{score:.3f}' for score in fitted.mated)}]")
