"""The files of a prepared TFDS set, checked before TFDS itself reads them.

TFDS stores a set in the folder `data_dir/name[/config]/version`, and this module looks
for this folder. TFDS itself would try to download a missing set.

The metadata of a set names the Python classes of its features. TFDS imports the module
of any class that it does not know. Data must not choose which code is imported, so sets
with classes from outside of TFDS are refused.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cnn_jax.core.errors import UserError, unknown
from cnn_jax.data import fields

MOST_CLASSES = 1_000_000

CLASSES = frozenset(
    f"tensorflow_datasets.core.features.{name}"
    for name in (
        "audio_feature.Audio",
        "bounding_boxes.BBoxFeature",
        "class_label_feature.ClassLabel",
        "dataset_feature.Dataset",
        "feature.Tensor",  # the former name of the next one
        "tensor_feature.Tensor",
        "features_dict.FeaturesDict",
        "image_feature.Image",
        "labeled_image.LabeledImage",
        "scalar.Scalar",
        "sequence_feature.Sequence",
        "text_feature.Text",
        "translation_feature.Translation",
        "translation_feature.TranslationVariableLanguages",
        "video_feature.Video",
    )
)
# The JSON fields that name a feature's class, and the JSON fields whose text is JSON
# itself.
_CLASS_FIELDS = ("pythonClassName", "python_class_name", "type")
_JSON_FIELDS = ("json", "content")
# Names of TFDS's own sets. For other names, TFDS would download code.
_NAME = re.compile(r"\w+(/[\w.+-]+)?(:[\d.]+)?")
# Templates of shard names. Other format fields could compute something.
_TEMPLATE = re.compile(r"([\w.@-]|\{[A-Z_]+\})*")


def known(name: str, data_dir: str | None) -> Any:
    """Returns TFDS's description of a set. The set need not be prepared.

    Args:
      name: the name of the set, `name[/config][:version]`.
      data_dir: the folder of the prepared sets; see `tfds_source.load`.

    Raises:
      UserError: the set is neither prepared nor known to TFDS, or it is damaged.
    """
    import tensorflow_datasets as tfds

    try:
        path = find(name, data_dir)
    except UserError as unprepared:
        if not _NAME.fullmatch(name):
            raise
        try:
            # With a folder that does not exist, TFDS does not search for prepared sets.
            return tfds.builder(name, data_dir=os.devnull).info
        except Exception:
            raise unprepared from None
    return builder(path).info


def find(name: str, data_dir: str | None) -> Path:
    """Returns the folder of a prepared set.

    Args:
      name: the name of the set, `name[/config][:version]`. Without a version, the
        newest version is taken.
      data_dir: the folder of the prepared sets; see `tfds_source.load`.

    Raises:
      UserError: the set or its version is not prepared, or the set has several
        configurations and `name` states none.
    """
    root = Path(
        data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    ).expanduser()
    set_name, _, version = name.partition(":")
    prepared: dict[str, list[Path]] = {}
    for info in [
        *root.glob("*/*/dataset_info.json"),
        *root.glob("*/*/*/dataset_info.json"),
    ]:
        relative = info.parent.parent.relative_to(root).as_posix()
        prepared.setdefault(relative, []).append(info.parent)
    configs = sorted(known for known in prepared if known.startswith(f"{set_name}/"))
    if set_name not in prepared and len(configs) == 1:
        set_name = configs[0]
    elif set_name not in prepared and configs:
        raise UserError(
            f"tfds:{name} is prepared in several configurations. Choose one of them in "
            f"data.name: {', '.join(configs)}."
        )
    if set_name not in prepared:
        raise UserError(_not_prepared(set_name, root, sorted(prepared)))
    versions = {path.name: path for path in prepared[set_name]}
    if version and version not in versions:
        raise unknown(f"version of tfds:{set_name} in {root}", version, versions)
    return versions[version or max(versions, key=_version_number)]


def _not_prepared(set_name: str, root: Path, prepared: list[str]) -> str:
    where = (
        f"the prepared sets in {root} are {', '.join(prepared)}"
        if prepared
        else f"there are no prepared sets in {root}"
    )
    return (
        f"tfds:{set_name} is not prepared: {where}. Set TFDS_DATA_DIR or "
        "data.data_dir to the folder of your prepared sets, or prepare this set on any "
        "machine with TensorFlow: "
        f"tfds build {set_name} --file_format=array_record --data_dir={root}"
    )


def _version_number(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def builder(path: Path) -> Any:
    """Returns TFDS's own reader of a prepared set.

    Args:
      path: the folder of the set.

    Raises:
      UserError: the metadata is missing or damaged, or names a class that is not in
        `CLASSES`. The error names the file.
    """
    from google.protobuf import json_format
    from tensorflow_datasets.core import read_only_builder
    from tensorflow_datasets.core.proto import dataset_info_pb2

    source = path / "dataset_info.json"
    content = _object(source)
    if "features" not in content:
        described = path / "features.json"
        features = _feature(_object(described), described)
    else:
        features = _feature(content.pop("features"), source)
    with damaged(source):
        found = json_format.ParseDict(content, dataset_info_pb2.DatasetInfo())
        for split in found.splits:
            if not _TEMPLATE.fullmatch(split.filepath_template):
                raise ValueError(
                    f"'{split.filepath_template}' is not a valid template of file names"
                )
        found.features.CopyFrom(features)
        built = read_only_builder.builder_from_metadata(path, found)
    _check_features(built.info, path)
    return built


def _object(path: Path) -> dict:
    content = fields.read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} is {fields.shown(content)}; it must be a JSON object.")
    return content


def _feature(described: Any, source: Path) -> Any:
    """Returns TFDS's description of a feature, given its JSON.

    The format of the JSON changed in TFDS 4.3. Both formats are accepted.

    Args:
      described: the parsed JSON.
      source: the file of the JSON, for errors.

    Raises:
      UserError: a class at any depth of the JSON is not in `CLASSES`.
    """
    import tensorflow_datasets as tfds
    from google.protobuf import json_format
    from tensorflow_datasets.core.proto import feature_pb2

    with damaged(source):
        for name in _class_names(described):
            if name not in CLASSES:
                raise UserError(
                    f"{source} names the Python class {fields.shown(name)}. The set "
                    "cannot be read, because only the feature classes of TensorFlow "
                    "Datasets itself are imported."
                )
        if "type" in described:
            return tfds.features.FeatureConnector.from_json(described).to_proto()
        found = json_format.ParseDict(described, feature_pb2.Feature())
        tfds.features.FeatureConnector.from_proto(found)  # errors are this file's
        return found


def _class_names(described: Any) -> Iterator[str]:
    """Yields all names of Python classes in the parsed JSON of a feature."""
    if isinstance(described, list):
        for inner in described:
            yield from _class_names(inner)
    if isinstance(described, dict):
        for key, inner in described.items():
            if key in _CLASS_FIELDS and isinstance(inner, str):
                yield inner
            elif key in _JSON_FIELDS and isinstance(inner, str):
                yield from _class_names(json.loads(inner))
            else:
                yield from _class_names(inner)


def _check_features(info: Any, path: Path) -> None:
    """Raises `UserError` if features have no names, or class names are not valid.

    TFDS silently ignores class names that it cannot read.

    Args:
      info: TFDS's description of the set.
      path: the folder of the set.
    """
    import tensorflow_datasets as tfds

    if not isinstance(info.features, tfds.features.FeaturesDict):
        raise UserError(
            f"{path}: the examples of the set must be dictionaries of features, but "
            "they are not. Choose another set."
        )
    for key, feature in info.features.items():
        if isinstance(feature, tfds.features.ClassLabel | tfds.features.LabeledImage):
            _check_classes(feature, key, path)


def _check_classes(feature: Any, key: str, path: Path) -> None:
    count = feature.num_classes
    # The classes of a mask may have neither names nor a number.
    if isinstance(count, int) and not 1 <= count <= MOST_CLASSES:
        raise UserError(
            f"{path}: feature '{key}' has {count} classes; it must have from 1 to "
            f"{MOST_CLASSES}."
        )
    file = path / f"{key.replace('/', '.')}.labels.txt"
    if not file.exists():
        return
    with damaged(file):
        names = fields.read(file).decode().split("\n")
    names = [name.strip() for name in names if name.strip()]
    if names != feature.names or len(set(names)) != count:
        raise UserError(
            f"{file} has {len(names)} class names, {len(set(names))} of them "
            f"different, but feature '{key}' has {count} classes: prepare the set "
            "again."
        )


def check_shards(split: Any, path: Path, title: str) -> None:
    """Raises `UserError` if a file of a split is missing or damaged.

    A split is stored in several files, the shards. Each shard must have the number of
    examples that the metadata states.

    Args:
      split: TFDS's description of the split.
      path: the folder of the set.
      title: the set's name in errors.
    """
    with damaged(path / "dataset_info.json"):
        shards = split.file_instructions
    for shard in shards:
        file = Path(shard.filename)
        if not file.is_file():
            raise UserError(f"{file} of {title} is missing: prepare the set again.")
        count = _count(file)
        if count != shard.examples_in_shard:
            raise UserError(
                f"{file} of {title} has {count} examples, but dataset_info.json says "
                f"{shard.examples_in_shard}: prepare the set again."
            )


def _count(file: Path) -> int:
    """Returns the number of examples in a shard, given the path of its file."""
    from array_record.python import array_record_module

    with damaged(file):
        reader = array_record_module.ArrayRecordReader(str(file))
        try:
            return reader.num_records()
        finally:
            reader.close()


@contextmanager
def damaged(what: str | Path) -> Iterator[None]:
    """Turns any error inside the `with` block into a `UserError` about damaged data.

    Every kind of exception is caught, because TFDS and the libraries below it raise
    nearly every kind.

    Args:
      what: the name of the damaged file or set in the error.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = lines[0].rstrip(".:") if lines else type(error).__name__
        raise UserError(f"{what} is damaged: {reason[:200]}.") from None
