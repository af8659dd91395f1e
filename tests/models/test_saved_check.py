import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vitc.errors import UserError
from vitc.models import saved, saved_check
from vitc.models.backbone import Backbone, Preprocessing

MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
Json = dict[str, Any]
CODE = "__import__('os').mkdir('pwned')"


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an honest archive holds, by name."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    path = tmp_path_factory.mktemp("saved") / "m.pt2"
    saved.save(Backbone("tiny", module, Preprocessing((3, 2, 2)), 2, (), ""), path)
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def pack(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def edited(entries: dict[str, bytes], name: str, edit: Callable[[Json], object]) -> bytes:
    content = json.loads(entries[name])
    edit(content)
    return pack({**entries, name: json.dumps(content).encode()})


def test_an_honest_archive_passes(entries: dict[str, bytes]) -> None:
    saved_check.check(pack(entries))


def test_what_vitc_never_writes_makes_a_file_foreign(entries: dict[str, bytes]) -> None:
    pickled = io.BytesIO()
    torch.save((torch.zeros(1),), pickled)
    strangers = {
        "data/aotinductor/model/wrapper.so": b"\x7fELF",
        "data/weights/model.pt": pickled.getvalue(),
        "data/constants/custom_obj_0": b"",
        "data/constants/opaque_obj_0": b"",
        "models/other.json": entries[MODEL],
        "data/sample_inputs/model.pt": pickled.getvalue(),
        "extra/other.json": b"{}",
    }
    for name, content in strangers.items():
        with pytest.raises(saved_check.Foreign):
            saved_check.check(pack({**entries, name: content}))


@pytest.mark.parametrize("name", [MODEL, WEIGHTS, "extra/vitc.json", "data/sample_inputs/model.pt"])
def test_what_vitc_always_writes_must_be_there(entries: dict[str, bytes], name: str) -> None:
    with pytest.raises(saved_check.Foreign, match=f"it has no {name}"):
        saved_check.check(pack({key: content for key, content in entries.items() if key != name}))


def first_payload(config: Json) -> Json:
    payload: Json = next(iter(config["config"].values()))
    return payload


@pytest.mark.parametrize("change", [{"use_pickle": True}, {"use_pickle": 1}, {"path_name": "../../secret"}])
def test_tensors_are_raw_and_in_their_place(entries: dict[str, bytes], change: Json) -> None:
    with pytest.raises(saved_check.Foreign, match="its tensor"):
        saved_check.check(edited(entries, WEIGHTS, lambda config: first_payload(config).update(change)))


def graph(model: Json) -> Json:
    found: Json = model["graph_module"]["graph"]
    return found


def signature(model: Json) -> Json:
    found: Json = model["graph_module"]["module_call_graph"][0]["signature"]
    return found


def sized(expression: str) -> Callable[[Json], object]:
    def edit(model: Json) -> None:
        value = next(iter(graph(model)["tensor_values"].values()))
        value["sizes"][0] = {"as_expr": {"expr_str": expression, "hint": None}}

    return edit


ENUM = '[1, {"type": "builtins.tuple", "context": "{\\"__enum__\\": true, \\"fqn\\": \\"antigravity:x\\"}"}]'


@pytest.mark.parametrize(
    "edit",
    [
        sized(CODE),
        sized("Symbol('s0').__class__"),
        sized("Integer(1) if 1 else 2"),
        sized("Symbol('s0; import os')"),
        lambda model: graph(model)["nodes"][0].update(target="torch.hub.load"),
        lambda model: graph(model)["nodes"][0].update(target="torch.ops.aten.save.default"),
        lambda model: graph(model)["nodes"][0].update(target="torch.ops.aten.from_file.default"),
        lambda model: graph(model)["nodes"][0].update(target="torch.ops.load_library"),
        lambda model: graph(model)["nodes"][0].update(target="_operator.methodcaller"),
        lambda model: graph(model)["nodes"][0]["inputs"].append({"arg": {"as_operator": "torch.hub.load"}}),
        lambda model: graph(model)["nodes"][0].update(name=f"x = {CODE}"),
        lambda model: graph(model)["nodes"][0].update(name="x\nimport os"),
        lambda model: graph(model)["nodes"][0].update(name="torch.load"),
        lambda model: graph(model)["nodes"][0].update(metadata={"source_fn_stack": "a,torch.hub.load"}),
        lambda model: graph(model)["tensor_values"].update({CODE: {}}),
        lambda model: signature(model).update(forward_arg_names=[f"x={CODE}"]),
        lambda model: signature(model).update(in_spec=ENUM),
        lambda model: signature(model).update(out_spec=ENUM),
        lambda model: model.update(guards_code=[CODE]),
    ],
)
def test_strings_that_could_run_are_refused_and_do_not(
    entries: dict[str, bytes], edit: Callable[[Json], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.pt2"
    path.write_bytes(edited(entries, MODEL, edit))
    with pytest.raises(UserError, match="not a program saved by vitc"):
        saved.load(path)
    assert [file.name for file in tmp_path.iterdir()] == ["m.pt2"]


def test_an_operator_that_is_not_registered_is_told_in_one_line(entries: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    path.write_bytes(
        edited(entries, MODEL, lambda model: graph(model)["nodes"][-1].update(target="torch.ops.vitc.absent.default"))
    )
    with pytest.raises(UserError, match="cannot load") as caught:
        saved.load(path)
    assert "\n" not in str(caught.value)
