"""A small language and a small model for the tests of lm-pretrain."""

import pytest

from oildrop.workloads.lm_pretrain.grammar import Grammar
from oildrop.workloads.lm_pretrain.reference import ModelShape


@pytest.fixture(scope="session")
def grammar() -> Grammar:
    """A language in which everything happens often, also three names bound at once and the depth limit."""
    return Grammar(
        language_seed=3,
        document_tokens=48,
        words=20,
        zipf_offset=0,
        names=4,
        brackets=3,
        depth=2,
        successors=4,
        successor_share=3000,
        let_share=30,
        get_share=40,
        open_share=30,
        close_share=30,
    )


@pytest.fixture(scope="session")
def shape() -> ModelShape:
    """Two layers, small enough to differentiate by hand."""
    return ModelShape(
        vocabulary=43,
        positions=48,
        layers=2,
        width=32,
        heads=2,
        key_value_heads=1,
        hidden=48,
        norm_epsilon=1e-5,
        rotary_base=10000.0,
    )
