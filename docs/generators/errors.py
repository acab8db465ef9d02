"""The page of all messages: which group a message belongs to, and the groups' tables.

The page's text is written by hand; the tables stand between two lines of it,
`<!-- errors: GROUP -->` and `<!-- end of errors: GROUP -->`.
"""

import re
from pathlib import Path

from cnn_jax.analysis import page_tables
from docs.generators import markdown, messages
from docs.generators.messages import Message

PAGE = Path(__file__).parents[1] / "errors.md"

# The group of the messages in a file or a folder, or of one function of a file. The
# longest path decides.
GROUPS = {
    # Flags and configs.
    "api.py": "sweeps",
    "benchmark.py": "flags",
    "command.py": "flags",
    "command.py:run": "memory",
    "console.py": "flags",
    "convert.py": "flags",
    "evaluate.py": "flags",
    "main.py": "flags",
    "predict.py": "flags",
    "summary.py": "flags",
    "summary.py:main": "networks",
    "sweep.py": "flags",
    "analysis/costs.py": "flags",
    "analysis/overview.py": "flags",
    "analysis/page_tables.py": "flags",
    "core/calls.py": "config",
    "core/errors.py": "config",
    "core/paths.py": "paths",
    "core/ranges.py": "config",
    "runs/resolve.py": "config",
    "runs/schema.py": "config",
    "core/values.py": "config",
    "training/config.py": "config",
    # Networks and training.
    "layers/": "networks",
    "models/": "networks",
    "models/spec.py": "extensions",
    "core/fit.py": "fit",
    "tasks/": "fit",
    "tasks/verification.py": "predicting",
    "tasks/image_quality.py": "images",
    "training/parts.py": "fit",
    "training/views.py": "fit",
    "training/setup.py:model_of": "fit",
    "training/setup.py:normalized": "fit",
    "training/averages.py": "training",
    "training/cached_features.py": "training",
    "training/freezing.py": "training",
    "training/loop.py": "training",
    "training/optimizers/": "training",
    "training/parameter_groups.py": "config",
    "training/predictions.py": "predicting",
    "training/progress.py": "training",
    "training/progressive_resizing.py": "training",
    "training/rematerialization.py": "training",
    "training/schedules/": "training",
    "training/setup.py": "training",
    # Data.
    "data/__init__.py": "images",
    "data/augment.py": "config",
    "data/bands.py": "images",
    "data/bicubic.py": "images",
    "data/channel_statistics.py": "images",
    "data/csv_": "images",
    "data/decoding.py": "images",
    "data/digit_scenes.py": "images",
    "data/digits.py": "images",
    "data/folder.py": "images",
    "data/hf_source.py": "images",
    "data/identities.py": "images",
    "data/images.py": "images",
    "data/loading.py": "images",
    "data/perturbations.py": "images",
    "data/picture_and_style.py": "images",
    "data/pictures_and_styles.py": "images",
    "data/pixel_values.py": "images",
    "data/restoration.py": "images",
    "data/roles.py": "images",
    "data/samplers.py": "images",
    "data/source.py": "images",
    "data/styles.py": "images",
    "data/subset.py": "images",
    "data/super_resolution.py": "images",
    "data/walk.py": "images",
    "data/clip_files.py": "images",
    "data/clips.py": "images",
    "data/volumes.py": "images",
    "data/annotations.py": "annotations",
    "data/boxes.py": "annotations",
    "data/coco.py": "annotations",
    "data/fields.py": "annotations",
    "data/labels/": "annotations",
    "data/labels/__init__.py": "extensions",
    "data/mask_records.py": "annotations",
    "data/masks.py": "annotations",
    "data/objects.py": "annotations",
    "data/voc.py": "annotations",
    "data/tfds_": "tfds",
    "data/workers.py": "memory",
    "data/shared_memory.py": "memory",
    # Runs.
    "weights/": "weights",
    "core/disk.py": "folders",
    "core/orbax_paths.py": "folders",
    "core/records.py": "folders",
    "runs/accumulation.py": "memory",
    "runs/config_json.py": "folders",
    "runs/dataset_facts.py": "folders",
    "runs/extension.py": "folders",
    "runs/key_list.py": "config",
    "runs/learning_rate_range.py": "training",
    "runs/removal.py": "folders",
    "runs/run_folder.py": "folders",
    "runs/run_training.py": "folders",
    "runs/run_training.py:_network": "training",
    "runs/teachers.py": "training",
    "runs/trained.py": "folders",
    "training/checkpoint": "folders",
    "training/metrics_log.py": "folders",
    "training/record.py": "folders",
    "runs/export.py": "weights",
    "runs/input_files.py": "predicting",
    "runs/loaded.py": "predicting",
    "runs/prediction.py": "predicting",
    "runs/probes.py": "predicting",
    "runs/recognition.py": "predicting",
    "runs/run_evaluation.py": "predicting",
    # The machine.
    "core/extras.py": "packages",
    "core/memory.py": "memory",
    "kernels/": "devices",
    "training/hosts.py": "devices",
    "training/parallel.py": "devices",
    "training/roll_call.py": "devices",
    "training/machine.py": "devices",
    "training/startup.py": "devices",
    "benchmarks/": "benchmarks",
    "sweeps/": "sweeps",
    # The user's code.
    "core/guard.py": "extensions",
    "core/imports.py": "extensions",
    "core/keys.py": "extensions",
    "data/array_checks.py": "extensions",
    "data/augmentations/": "config",
    "data/outside.py": "extensions",
    "runs/user_code.py": "extensions",
    "tasks/__init__.py": "extensions",
    "training/optimizers/__init__.py:planned.of_rate": "extensions",
}


class Ungrouped(Exception):
    """A message without a group, or a group without a place on the page."""


def group_of(message: Message) -> str:
    """Returns the group of a message.

    Raises:
      Ungrouped: `GROUPS` has none.
    """
    if message.kind == "flags":
        return "flags"
    place = f"{message.file}:{message.function}"
    fitting = [start for start in GROUPS if place.startswith(start)]
    if not fitting:
        raise Ungrouped(
            f"say in GROUPS of {Path(__file__).name} which group of docs/errors.md the "
            f"messages of cnn_jax/{message.file} belong to: {message.text}"
        )
    return GROUPS[max(fitting, key=len)]


def page() -> str:
    """Returns the page with the tables of today's messages.

    Raises:
      Ungrouped: a message has no group, or a group no place on the page.
    """
    text = PAGE.read_text(encoding="utf-8")
    groups: dict[str, dict[str, None]] = {}
    for message in messages.collect():
        warning = "warning: " if message.kind == "warning" else ""
        groups.setdefault(group_of(message), {})[warning + message.text] = None
    places = set(re.findall(r"^<!-- errors: (\w+) -->$", text, re.MULTILINE))
    if places != groups.keys():
        odd = ", ".join(sorted(places ^ groups.keys()))
        raise Ungrouped(f"docs/errors.md and the groups of messages differ in: {odd}")
    for group, texts in groups.items():
        begin, end = page_tables.lines(f"errors: {group}")
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        rows = ([_code(line)] for line in sorted(texts, key=str.lower))
        table = markdown.table(["message"], rows)
        text = f"{before}{begin}\n\n{table}\n\n{end}{after}"
    return text


def _code(text: str) -> str:
    marks = "``" if "`" in text else "`"
    return f"{marks}{text}{marks}"
