"""Settings that come from a file or an earlier run, and files of settings. The command line goes before both."""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from models.files import whole_file
from models.guesses import guess
from tasks.config.differences import as_arguments, differences
from tasks.config.section import RunConfig, Section, in_form_order
from tasks.config.studies import StudyConfig
from tasks.earlier_settings import earlier_settings, taken_over, unread
from tasks.settings import Settings
from tasks.terminal import show

ENDINGS = (".yaml", ".yml", ".toml", ".json")
WIDTH = 100
KINDS = {"curate": "curate", "label": "label", "align": "align", "ld-align": "ld-align", "study": "study"}


def given_elsewhere(command: str, given: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """The settings that a command's `config` and `like` name, the file's over the run's; none without them.

    Args:
        command: by its name.
        given: what stands on the command line.
        model: of the command.

    Raises:
        ValueError: If the file cannot be read, names a setting that there is not, or is of another preset.
        LookupError: If there is no such run.
    """
    of_file: dict[str, Any] = {}
    if "config" in model.model_fields and (file := given.get("config")):
        of_file = _read(Path(file), command, model)
        _refuse_other_preset(file, of_file.get("preset"), given.get("preset"))
    if "like" not in model.model_fields or not (run := given.get("like")):
        return of_file
    earlier = earlier_settings(KINDS[command], run, Settings()).config
    return _over(taken_over(earlier, _over(dict(of_file), given)), of_file)


def show_differences(config: RunConfig, run: str, settings: Settings) -> None:
    """Say of which run the settings are, and which are others."""
    earlier = earlier_settings(_kind_of(config), run, settings)
    changes = list(differences(config, earlier.config))
    show(f"as run {earlier.run_id} ({earlier.name})" + (", but for:" if changes else ""))
    without = {path: [one for one in changes if f"{one.name}.".startswith(f"{path}.")] for path in unread(config)}
    for path in (path for path, dropped in without.items() if dropped):
        show(f"  without its {path}, which nothing reads here")
    for name, value, before in (one for one in changes if not any(one in dropped for dropped in without.values())):
        was = " ".join(as_arguments(name, before)[1:]) or ("on" if before is True else "off")
        show(f"  {' '.join(as_arguments(name, value))}   (was {was})")


def write_settings(config: RunConfig, path: Path) -> None:
    """Write all settings, each under what it does; what a study chooses by itself is left open.

    Raises:
        ValueError: If the file's ending is of no format.
        OSError: If it cannot be written.
    """
    text = {".json": _json, ".toml": _toml}.get(_ending(path), _yaml)(config)
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")
    show(f"settings in {path}\nNext: the same command with --config {path}")


def _refuse_other_preset(file: str, preset: str | None, given: str | None) -> None:
    """Refuse a preset that a file's settings would go before, all of those that `--write-config` wrote."""
    if preset is not None and given not in {None, preset}:
        raise ValueError(
            f"{file} holds settings of preset {preset}, which would go before those of --preset {given}; leave "
            f"--preset out, or write a file of its own: --preset {given} --write-config FILE"
        )


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"a file of settings ends in {', '.join(ENDINGS)}, got {path.name!r}")
    return ending


def _read(path: Path, command: str, model: type[BaseModel]) -> dict[str, Any]:
    ending = _ending(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}; --write-config {path} makes one")
    try:
        text = path.read_text(encoding="utf-8")
        values = {".json": json.loads, ".toml": tomllib.loads}.get(ending, _load_yaml)(text)
    except (ValueError, yaml.YAMLError) as error:  # every format's own error is one of them
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict | None):
        raise ValueError(f"{path} holds no settings by their names, but a {type(values).__name__}")
    own = set(model.model_fields) - {"dry_run", "like", "config", "write_config"}
    _refuse_unknown(values or {}, model, own, path, command)
    return values or {}


class _YamlLoader(yaml.SafeLoader):
    """YAML as of version 1.2 in what people trip over: `off`, `no` and dates are words, for a setting is called off."""


_NOT_WORDS = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
_YamlLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NOT_WORDS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_YamlLoader.add_implicit_resolver(_NOT_WORDS[0], re.compile("^(?:true|false|True|False|TRUE|FALSE)$"), list("tTfF"))


def _load_yaml(text: str) -> Any:
    return yaml.load(text, Loader=_YamlLoader)  # a SafeLoader


def _refuse_unknown(
    values: Mapping[Any, Any], model: type[BaseModel], known: set[str], path: Path, command: str, of: str = ""
) -> None:
    for name, value in values.items():
        if name not in known:
            near = guess(str(name), known)
            near = near.replace("did you mean ", f"did you mean {of}")
            raise ValueError(
                f"{path} names a setting that there is not, {of + str(name)!r}; {near}{'See' if near else 'see'}: "
                f"antipode {command} --help"
            )
        section = _section(model.model_fields[name].annotation)
        if section is not None and isinstance(value, dict):
            _refuse_unknown(value, section, set(section.model_fields), path, command, f"{of}{name}.")


def _section(annotation: Any) -> type[Section] | None:
    kinds = (annotation, *get_args(annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None)


def _over(values: dict[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the others in their place, section by section."""
    for name, value in others.items():
        before = values.get(name)
        values[name] = _over(dict(before), value) if isinstance(before, dict) and isinstance(value, dict) else value
    return values


def _kind_of(config: RunConfig) -> str:
    names = {"CurateConfig": "curate", "LabelConfig": "label", "AlignConfig": "align", "LdAlignConfig": "ld-align"}
    return names.get(type(config).__name__, "study")


def _is_open(config: Section, name: str) -> bool:
    """Whether a study chooses this by itself, where nobody does."""
    return isinstance(config, StudyConfig) and name not in config.model_fields_set


def _json(config: RunConfig) -> str:
    open_names = {name for name in type(config).model_fields if _is_open(config, name)}
    return json.dumps(config.model_dump(mode="json", exclude=open_names), indent=2, ensure_ascii=False) + "\n"


def _yaml(config: RunConfig) -> str:
    return "\n".join(_yaml_lines(config, "")) + "\n"


def _yaml_lines(section: Section, indent: str) -> Iterator[str]:
    values = section.model_dump(mode="json")
    for name in in_form_order(type(section).model_fields):
        yield from _comment(section, name, indent)
        inner = getattr(section, name)
        off = "# " if _is_open(section, name) else ""
        if isinstance(inner, Section):
            lines = list(_yaml_lines(inner, f"{indent}  "))
            yield from (f"{off}{line}" for line in (f"{indent}{name}:", *lines))
        else:
            value = yaml.safe_dump(values[name], default_flow_style=True, width=10**9, allow_unicode=True)
            yield f"{off}{indent}{name}: {value.strip().removesuffix('...').strip()}"


def _toml(config: RunConfig) -> str:
    return "\n".join(_toml_lines(config, "")) + "\n"


def _toml_lines(section: Section, path: str, *, off: str = "") -> Iterator[str]:
    values = section.model_dump(mode="json")
    names = in_form_order(type(section).model_fields)
    for name in (name for name in names if not isinstance(getattr(section, name), Section)):
        yield from _comment(section, name, "")
        is_off = off or _is_open(section, name) or values[name] is None
        yield f"{'# ' if is_off else ''}{name} = {'' if values[name] is None else _toml_value(values[name])}".rstrip()
    for name in (name for name in names if isinstance(getattr(section, name), Section)):
        inner_off = off or ("# " if _is_open(section, name) else "")
        yield ""
        yield from _comment(section, name, "")
        yield f"{inner_off}[{path}{name}]"
        yield from _toml_lines(getattr(section, name), f"{path}{name}.", off=inner_off)


def _toml_value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, dict):
        inner = (f"{json.dumps(name, ensure_ascii=False)} = {_toml_value(one)}" for name, one in value.items())
        return f"{{ {', '.join(inner)} }}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(section: Section, name: str, indent: str) -> Iterator[str]:
    description = type(section).model_fields[name].description or ""
    if not getattr(section, name) and getattr(section, name) is None:
        description += " Nothing is set."
    yield from (f"{indent}# {line}" for line in textwrap.wrap(description.strip(), WIDTH))
