"""Nearest neighbours per domain, where the few target pieces are enlarged: by SMOTE, or mixed with source pieces.

Made references have two parents. They are left out where either parent is of the clip that is scored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from asd.scoring.density import finite
from asd.scoring.deterministic import compute_each
from asd.scoring.scorer import Aggregation, ClipPieces, PieceScores, Scorer
from asd.scoring.topk import largest_of_many

BLOCK = 64  # pieces whose distances are in memory together, for each thread
Enlarge = Literal["none", "smote", "mixed"]


@dataclass(frozen=True, eq=False)
class DomainReferences:
    """References of one domain.

    Attributes:
        unit: (references, dim) unit embeddings.
        parents: (references, 2) the training clips that each one is made of; twice the same where it is not made.
    """

    unit: Tensor
    parents: Tensor


class DomainNeighbours(Scorer):
    """Cosine distance to the K nearest references of each domain; the smaller one counts.

    A domain without a reference is left out, and so it is for a training clip that is alone in its domain.

    Args:
        n_neighbors: K in each domain.
        enlarge: "smote": a target piece moves a random part of the way to one of its `n_mates` nearest target pieces of
            other clips (Chawla et al., 2002). "mixed": (1 − `share_of_source`) of it + `share_of_source` of one of its
            nearest source pieces. "none": the target pieces as they are.
        up_to: Target references after it, as a share of the source's.
        n_mates: Target pieces that SMOTE chooses from.
        share_of_source: Of a source piece in a mixed one.
        seed: Of SMOTE.
        aggregation: As of `Scorer`.

    Raises:
        ValueError: A setting out of range.
    """

    def __init__(
        self,
        *,
        n_neighbors: int = 1,
        enlarge: Enlarge = "smote",
        up_to: float = 0.2,
        n_mates: int = 2,
        share_of_source: float = 0.1,
        seed: int = 0,
        aggregation: Aggregation = "mean",
    ) -> None:
        super().__init__(aggregation=aggregation)
        if min(n_neighbors, n_mates) < 1:
            raise ValueError(f"scorer.n_neighbors={n_neighbors}, n_mates={n_mates}: give 1 or more")
        if enlarge not in ("none", "smote", "mixed"):
            raise ValueError(f"scorer.enlarge={enlarge}: give none, smote or mixed")
        if not (up_to >= 0 and 0 <= share_of_source <= 1):
            raise ValueError(f"scorer.up_to={up_to}, share_of_source={share_of_source}: give shares between 0 and 1")
        if seed < 0:
            raise ValueError(f"scorer.seed={seed}: give 0 or more")
        self.n_neighbors = n_neighbors
        self.enlarge = enlarge
        self.up_to = up_to
        self.n_mates = n_mates
        self.share_of_source = share_of_source
        self.seed = seed
        self.source: DomainReferences
        self.target: DomainReferences

    def fit(self, train: ClipPieces) -> None:
        """Parts the training pieces by domain and enlarges the target's.

        Raises:
            ValueError: Fewer than two training clips, or an embedding that is not finite.
        """
        if len(train.is_source) < 2:
            raise ValueError(f"{train.section}: {len(train.is_source)} training clips; give 2 or more")
        unit, clip = F.normalize(finite(train)), torch.from_numpy(train.clip.astype(np.int64))
        is_source = torch.from_numpy(train.is_source)[clip]
        parents = clip.unsqueeze(1).expand(-1, 2)
        self.source = DomainReferences(unit[is_source], parents[is_source])
        self.target = DomainReferences(unit[~is_source], parents[~is_source])
        n_wanted = round(self.up_to * len(self.source.unit)) - len(self.target.unit)
        if n_wanted > 0 and len(self.target.unit) and self.enlarge != "none":
            made = self.smote(n_wanted) if self.enlarge == "smote" else self.mixed(n_wanted)
            self.target = joined(self.target, made)

    def smote(self, n_wanted: int) -> DomainReferences:
        """As many pieces between neighbouring target pieces; none where the target domain has one clip."""
        unit, clip = self.target.unit, self.target.parents[:, 0]
        cosine = (unit @ unit.T).masked_fill(clip.unsqueeze(1) == clip, -torch.inf)
        closeness, mates = largest_of_many(cosine, min(self.n_mates, len(unit)))
        n_mates = closeness.isfinite().sum(dim=1)
        generator = torch.Generator().manual_seed(self.seed)
        first = torch.arange(n_wanted) % len(unit)
        first = first[n_mates[first] > 0]
        draw, part = torch.rand(2, len(first), generator=generator)
        chosen = mates[first, (draw * n_mates[first]).long()]
        made = torch.lerp(unit[first], unit[chosen], part.unsqueeze(1))
        return DomainReferences(F.normalize(made), torch.stack([clip[first], clip[chosen]], dim=1))

    def mixed(self, n_wanted: int) -> DomainReferences:
        """As many mixtures of target pieces with source pieces, each with its nearest ones, one after the other."""
        target, source = self.target, self.source
        n_each = min(len(source.unit), -(-n_wanted // len(target.unit)))
        _, nearest = largest_of_many(target.unit @ source.unit.T, n_each)
        first = torch.arange(len(target.unit)).repeat(n_each)[:n_wanted]
        chosen = nearest.T.flatten()[:n_wanted]
        made = torch.lerp(target.unit[first], source.unit[chosen], self.share_of_source)
        parents = torch.stack([target.parents[first, 0], source.parents[chosen, 0]], dim=1)
        return DomainReferences(F.normalize(made), parents)

    def score_pieces(self, pieces: ClipPieces, own_clip: NDArray[np.int64]) -> PieceScores:
        """Scores pieces, a clip at a time, so that a score does not depend on the clips beside it.

        Raises:
            ValueError: No domain has K references left for a clip.
        """
        counts = np.bincount(pieces.clip, minlength=len(own_clip))
        units = F.normalize(finite(pieces)).split(counts.tolist())
        found = list(compute_each(self.score_clip, units, own_clip.tolist(), device=units[0].device))
        if any(scores.isinf().any() for scores, _ in found):
            raise ValueError(
                f"{pieces.section}: no domain has {self.n_neighbors} training pieces besides a clip's own; "
                "add training clips or lower scorer.n_neighbors"
            )
        score, nearest = (torch.cat(column).numpy() for column in zip(*found, strict=True))
        return PieceScores(score, nearest)

    def score_clip(self, unit: Tensor, own_clip: int) -> tuple[Tensor, Tensor]:
        """Scores of a clip's pieces (pieces,), and the clips that are nearest to each (pieces, K)."""
        parts = [self.of_domains(block.clone(), own_clip) for block in unit.split(BLOCK)]
        scores, nearest = zip(*parts, strict=True)
        return torch.cat(scores), torch.cat(nearest)

    def of_domains(self, unit: Tensor, own_clip: int) -> tuple[Tensor, Tensor]:
        """The smaller score of both domains; infinite where none has enough references."""
        best = torch.full((len(unit),), torch.inf, dtype=torch.float64)
        nearest = torch.zeros(len(unit), self.n_neighbors, dtype=torch.int64)
        for domain in (self.source, self.target):
            own = (domain.parents == own_clip).any(dim=1).nonzero()[:, 0]
            if len(domain.unit) - len(own) < self.n_neighbors:
                continue
            cosine = (unit @ domain.unit.T).index_fill_(1, own, -torch.inf)
            largest, index = largest_of_many(cosine, self.n_neighbors)
            score = 1 - largest.double().mean(dim=1)
            is_nearer = score < best
            best = torch.where(is_nearer, score, best)
            nearest = torch.where(is_nearer.unsqueeze(1), domain.parents[index, 0], nearest)
        return best, nearest

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The references of both domains, made ones too."""
        columns = {"source": self.source.unit, "source_parents": self.source.parents}
        columns |= {"target": self.target.unit, "target_parents": self.target.parents}
        return {name: tensor.numpy() for name, tensor in columns.items()}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Takes what `state` gave."""
        names = ("source", "source_parents", "target", "target_parents")
        tensors = [torch.from_numpy(np.array(state[name])) for name in names]
        self.source, self.target = DomainReferences(*tensors[:2]), DomainReferences(*tensors[2:])


def joined(first: DomainReferences, second: DomainReferences) -> DomainReferences:
    """The references of both, one behind the other."""
    unit, parents = torch.cat([first.unit, second.unit]), torch.cat([first.parents, second.parents])
    return DomainReferences(unit, parents)
