"""What a person asks of a served benchmark, as changes of its settings; and what cannot be asked of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oildrop.rules.errors import UsageError
from oildrop.rules.records import Scalar
from oildrop.rules.rulebook import Benchmark, Tier
from oildrop.rules.rulebook_parts import Terms
from oildrop.rules.settings import Resolved, nearest
from oildrop.workloads.lm_generate.shared_beginnings import require_own_tokens, shared_tokens

NAME = "scenario.name"
CONCURRENCY = "scenario.concurrency"

BESIDE_DEPTH = {"execution.transfer": "none", "execution.draft": "", "execution.prefix_cache": "off"}
"""Settings that cannot go with tokens held before any prompt, and what switches each off."""


def served_changes(
    benchmark: Benchmark,
    changes: Mapping[str, str],
    *,
    scenario: str | None,
    rate_per_s: float | None,
    concurrency: Sequence[int],
) -> list[dict[str, str]]:
    """The changes of each set to run: those asked for and the scenario, one set for each concurrency.

    Without a scenario `rate_per_s` asks for `server` and `concurrency` for `concurrency`.

    Raises:
        UsageError: The benchmark trains and has no scenarios, has no such one, or one thing is asked for in two ways.
    """
    if benchmark.kind != "serve":
        _refuse_training(benchmark.name, {"--scenario": scenario, "--rate": rate_per_s, "--concurrency": concurrency})
        return [dict(changes)]
    if rate_per_s is not None and concurrency:
        raise UsageError("--rate is for arrivals at random, --concurrency for a fixed number in flight: give one")
    implied = "server" if rate_per_s is not None else "concurrency" if concurrency else None
    named = dict(changes)
    known = benchmark.allowed.get(NAME)
    if scenario is not None and isinstance(known, tuple) and scenario not in known:
        raise UsageError(f"--scenario {scenario!r} is not one of {', '.join(map(str, known))}")
    if scenario is not None and named.get(NAME, scenario) != scenario:
        raise UsageError(f"--scenario {scenario} and --set {NAME}={named[NAME]} differ; give one of them")
    if scenario or (implied and NAME not in named):
        named[NAME] = str(scenario or implied)
    if not concurrency:
        return [named]
    if named[NAME] != "concurrency":
        raise UsageError(f"--concurrency is for scenario concurrency, not {named[NAME]}; leave one of them out")
    if CONCURRENCY in named:
        raise UsageError(f"--concurrency and --set {CONCURRENCY}={named[CONCURRENCY]} say the same thing; give one")
    return [{**named, CONCURRENCY: str(number)} for number in concurrency]


def _refuse_training(name: str, asked: Mapping[str, object]) -> None:
    for option, value in asked.items():
        if value:
            raise UsageError(f"{option} is for benchmarks that serve, and {name} does not; leave it out")


def terms_of(benchmark: Benchmark, tier_name: str, settings: Mapping[str, Scalar]) -> Terms | None:
    """The terms of the scenario in `settings`; None for a benchmark that trains.

    Raises:
        UsageError: The tier has no such scenario.
    """
    tier = benchmark.tiers[tier_name]
    if not tier.scenarios:
        return None
    name = str(settings[NAME])
    if name not in tier.scenarios:
        known = nearest(name, list(tier.scenarios))
        raise UsageError(f"{benchmark.name} {tier_name} has no scenario {name!r}{known}")
    return tier.scenarios[name]


def require_served(
    tier: Tier, terms: Terms, resolved: Resolved, *, rate_per_s: float | None, max_restarts: int
) -> None:
    """Raises UsageError for what a served run cannot do."""
    settings = resolved.settings
    if max_restarts:
        raise UsageError(f"--max-restarts {max_restarts} is for benchmarks that train; a served run is never resumed")
    if rate_per_s is not None and terms.first_rate_per_s is None:
        having = " or ".join(name for name, of in tier.scenarios.items() if of.first_rate_per_s is not None)
        raise UsageError(
            f"--rate {rate_per_s:g}: in scenario {settings[NAME]} requests do not arrive by themselves, so there is "
            f"no rate to give; use --scenario {having or 'with arrivals, of which this tier has none'}"
        )
    if tier.checkpoint is None and settings.get("weights.source") == "checkpoint":
        raise UsageError(
            "this tier has no checkpoint to serve (weights.source = checkpoint); for speed alone serve "
            "random weights: --set weights.source=random --division open, or of a sweep --weights random"
        )
    _require_checkpoint_as_it_is(tier, resolved)
    elsewhere = settings.get("execution.prefill_backend")
    if elsewhere and settings.get("execution.transfer") == "none":
        raise UsageError(
            f"execution.prefill_backend = {elsewhere} is for prompts that are read in another process; "
            "set execution.transfer=tcp or shared-memory too"
        )
    if settings.get("execution.prefill_machine") == "other" and settings.get("execution.transfer") != "tcp":
        raise UsageError(
            "execution.prefill_machine = other: caches come from another machine by execution.transfer=tcp alone, and "
            f"it is {settings.get('execution.transfer')}"
        )
    _require_depth_alone(settings)
    draft = settings.get("execution.draft")
    if draft and (tier.draft is None or tier.draft.name != draft):
        having = "none" if tier.draft is None else tier.draft.name
        raise UsageError(f"execution.draft = {draft}: this tier's draft is {having}; leave it empty, or take tier nano")
    _require_lengths(settings)
    if shared_tokens(settings):
        require_own_tokens(settings)


def _require_checkpoint_as_it_is(tier: Tier, resolved: Resolved) -> None:
    """Raises UsageError where a model of other sizes is asked for than the checkpoint holds."""
    other = [f"{key} = {value}" for key, (_, value) in sorted(resolved.changed.items()) if key.startswith("model.")]
    if other and tier.checkpoint is not None and resolved.settings.get("weights.source") == "checkpoint":
        raise UsageError(
            f"{', '.join(other)}: checkpoint {tier.checkpoint.name} holds another model; leave it out, or serve random "
            "weights for speed alone: --set weights.source=random --division open"
        )


def _require_depth_alone(settings: Mapping[str, Scalar]) -> None:
    """Raises UsageError where rows hold tokens before any prompt and something else would put others there."""
    for key, off in BESIDE_DEPTH.items() if settings.get("requests.depth_tokens") else ():
        if settings.get(key, off) != off:
            raise UsageError(
                f"{key} = {settings[key]}: not with requests.depth_tokens = {settings['requests.depth_tokens']}, which "
                f"every row holds before any prompt; leave {key} at {off or 'nothing'}, or use depth 0"
            )


def _require_lengths(settings: Mapping[str, Scalar]) -> None:
    """Raises UsageError where prompts and answers cannot be drawn or do not fit a document."""
    depth = settings.get("requests.depth_tokens", 0)
    longest = depth if isinstance(depth, int) else 0
    for what in ("prompt", "output"):
        least, most = (settings.get(f"requests.{what}_tokens_{end}") for end in ("min", "max"))
        if not isinstance(least, int) or not isinstance(most, int):
            return
        if least > most:
            raise UsageError(
                f"requests.{what}_tokens_min = {least} is above requests.{what}_tokens_max = {most}; "
                f"set both, as --set requests.{what}_tokens_min={most}"
            )
        longest += most
    document = settings.get("data.document_tokens")
    if isinstance(document, int) and longest > document + 1:
        raise UsageError(
            f"the longest prompt and answer make {longest} tokens (requests.depth_tokens + requests.prompt_tokens_max "
            f"+ requests.output_tokens_max) and a document with its start token holds {document + 1}; ask for fewer, "
            "or set data.document_tokens higher (--division open)"
        )
