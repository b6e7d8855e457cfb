import subprocess
import sys

import pytest

from fasray.errors import SpecError
from fasray.methods import registry


def test_every_method_carries_the_name_it_is_registered_under():
    assert [registry.get(name).name for name in registry.names()] == list(registry.names())


def test_listing_names_imports_no_method_and_no_torch():
    code = (
        "import sys; from fasray.methods import registry; registry.names(); "
        "sys.exit('torch' in sys.modules or 'fasray.methods.erm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_misspelt_method_gets_a_suggestion():
    with pytest.raises(SpecError, match="did you mean 'safas'"):
        registry.get("safsa")


def test_a_misspelt_setting_is_reported_with_its_key_and_a_suggestion():
    with pytest.raises(SpecError, match=r"methods\.safas\.config\.separability_wieght") as caught:
        registry.config("safas", {"separability_wieght": 0.1})
    assert caught.value.remedy == "did you mean 'separability_weight'?"


@pytest.mark.parametrize("value", [7, "fast", float("nan")])
def test_a_value_that_a_setting_cannot_take_is_reported_with_its_key(value):
    with pytest.raises(SpecError) as caught:
        registry.config("safas", {"momentum": value})
    assert caught.value.where == "key methods.safas.config.momentum"
    assert repr(value) in caught.value.what


@pytest.mark.parametrize("name", registry.names())
def test_every_value_of_the_default_space_is_a_valid_setting(name):
    for key, given in registry.get(name).Config.space().items():
        ((_, values),) = given.model_dump().items()
        for value in values:
            assert getattr(registry.config(name, {key: value}), key) == value
