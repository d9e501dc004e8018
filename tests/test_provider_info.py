from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

import airflow_asr
from airflow_asr.hooks.assemblyai import AssemblyAIHook
from airflow_asr.provider_info import get_provider_info


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(files("airflow").joinpath(name).read_text())
    return loaded


def connection_type() -> dict[str, Any]:
    [described] = get_provider_info()["connection-types"]
    assert isinstance(described, dict)
    return described


def test_airflow_accepts_the_description() -> None:
    jsonschema.validate(get_provider_info(), schema("provider_info.schema.json"))


def test_airflow_accepts_the_connection_form() -> None:
    form = schema("provider.yaml.schema.json")["properties"]["connection-types"]
    jsonschema.validate(get_provider_info()["connection-types"], form)
    with pytest.raises(jsonschema.ValidationError):  # The schema is one that says no.
        jsonschema.validate([{**connection_type(), "conn-fields": {"x": {"label": 7}}}], form)


def test_every_field_of_the_form_accepts_its_own_default_and_refuses_junk() -> None:
    fields = connection_type()["conn-fields"]
    for field in fields.values():
        jsonschema.validate(field["schema"].get("default"), field["schema"])
    for name, junk in [
        ("region", "asia"),
        ("connect_timeout_s", 0),
        ("read_timeout_s", "soon"),
        ("verify_tls", "maybe"),
        ("proxies", "http://proxy"),
    ]:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(junk, fields[name]["schema"])


def test_every_module_and_class_that_is_named_can_be_imported() -> None:
    info = get_provider_info()
    integrations = {each["integration-name"] for each in info["integrations"]}
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for each in info[kind]:
            assert each["integration-name"] in integrations
            for module in each["python-modules"]:
                importlib.import_module(module)
    module, _, name = connection_type()["hook-class-name"].rpartition(".")
    assert getattr(importlib.import_module(module), name) is AssemblyAIHook


def test_the_form_and_the_hook_agree() -> None:
    described = connection_type()
    assert described["connection-type"] == AssemblyAIHook.conn_type
    assert described["hook-name"] == AssemblyAIHook.hook_name
    assert "host" in described["ui-field-behaviour"]["hidden-fields"]  # The hook refuses one.
    documented = AssemblyAIHook.__doc__ or ""
    assert all(f"``{field}``" in documented for field in described["conn-fields"])


def test_the_version_is_the_packages_own() -> None:
    assert get_provider_info()["versions"][0] == airflow_asr.__version__


def test_airflow_finds_the_provider_by_its_entry_point() -> None:
    # Editable installs may be found twice, once on each path.
    found = {
        each.value
        for each in entry_points(group="apache_airflow_provider")
        if each.dist and each.dist.name == "airflow-asr"
    }
    assert found == {"airflow_asr.provider_info:get_provider_info"}
    [entry_point] = {each for each in entry_points(group="apache_airflow_provider") if each.value in found}
    assert entry_point.load() is get_provider_info


def test_airflow_draws_the_form_without_importing_the_hook() -> None:
    program = """
import json, sys
from airflow.providers_manager import ProvidersManager
manager = ProvidersManager()
[ui] = [each for each in manager.iter_connection_type_hook_ui_metadata() if each.connection_type == "assemblyai"]
widgets = {
    name: widget.field for name, widget in manager._connection_form_widgets_from_metadata.items()
    if name.startswith("extra__assemblyai__")
}
print(json.dumps({
    "name": ui.hook_name, "behaviour": ui.field_behaviour, "widgets": widgets,
    "imported": sorted(name for name in sys.modules if name.startswith("airflow_asr")),
}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    drawn = json.loads(done.stdout.splitlines()[-1])
    assert drawn["name"] == "AssemblyAI"
    assert drawn["behaviour"]["relabeling"] == {"password": "API key"}
    described = connection_type()["conn-fields"]
    assert {name.removeprefix("extra__assemblyai__") for name in drawn["widgets"]} == set(described)
    for name, field in described.items():
        assert drawn["widgets"][f"extra__assemblyai__{name}"]["schema"]["title"] == field["label"]
    assert drawn["imported"] == ["airflow_asr", "airflow_asr.provider_info"]
