"""Measures a fixed list of networks, in turns with every installed peer."""

import dataclasses
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from cnn_jax.benchmarks import convolutions, growth, measure, tables
from cnn_jax.benchmarks import input as inputs
from cnn_jax.benchmarks.peers import NoPeer
from cnn_jax.benchmarks.subject import Request, make
from cnn_jax.core import records

NAME = "benchmarks"


def cifar(model: str, batch_size: int, **attributes: Any) -> Request:
    """Returns a request to measure a network on 32x32 images with ten classes.

    Args:
      model: the name of the network.
      batch_size: the number of images per step.
      attributes: attributes of the network, such as `dtype`.
    """
    values = {"num_classes": 10} | attributes
    return dataclasses.replace(
        imagenet(model, batch_size, **values), input_shape=(32, 32, 3)
    )


def imagenet(model: str, batch_size: int, **attributes: Any) -> Request:
    """Returns a request to measure a network with its published input shape.

    See `cifar` for the arguments.
    """
    overrides = {f"model.{key}": str(value) for key, value in attributes.items()}
    return Request(model=model, overrides=overrides).at(batch_size)


CPU = (
    cifar("resnet20", 128),
    cifar("resnet18", 32, stem="small"),
    cifar("resnet56", 128),
    imagenet("resnet50", 8),
    imagenet("resnext50_32x4d", 4),
    imagenet("alexnet_owt", 16),
    imagenet("vgg11", 4),
    imagenet("squeezenet1_1", 8),
    imagenet("googlenet_bn", 8),
    imagenet("mobilenet_v2", 8),
    imagenet("densenet121", 4),
    imagenet("r3d_18", 1),
)
ACCELERATOR = tuple(
    network
    for dtype in ("bfloat16", "float32")
    for network in (
        imagenet("resnet50", 256, dtype=dtype),
        imagenet("resnet18", 512, dtype=dtype),
        imagenet("resnext50_32x4d", 128, dtype=dtype),
        imagenet("vgg16", 128, dtype=dtype),
        imagenet("mobilenet_v2", 256, dtype=dtype),
        imagenet("densenet121", 128, dtype=dtype),
        imagenet("r3d_18", 16, dtype=dtype),
        cifar("resnet20", 128, dtype=dtype),
        cifar("resnet20", 1024, dtype=dtype),
    )
)

WORKERS = (0, 2)  # numbers of decoding processes to measure input with


def networks() -> tuple[Request, ...]:
    """Returns the suite's requests for the present backend: CPU or accelerator."""
    return CPU if jax.default_backend() == "cpu" else ACCELERATOR


def write(folder: Path, protocol: measure.Protocol, images: str | None = None) -> None:
    """Measures the suite, and writes benchmarks.md, benchmarks.json and growth.png.

    Args:
      folder: the folder for the files.
      protocol: how to measure. Networks are compared with the protocol's peer or, if
        the protocol has no peer, with all installed peers. Single convolutions are
        always compared with flax and, if installed, PyTorch.
      images: a folder with one folder of images per class. The loading of these images
        is measured too. None measures no loading.
    """
    folder.mkdir(parents=True, exist_ok=True)
    peers = [protocol.peer] if protocol.peer else installed()
    loading = list(input_rows(images, protocol, peers)) if images else []
    results = []
    for request in networks():
        results += beside(request, protocol, peers)
    layers = []
    for row in convolutions.rows(protocol):
        times = ", ".join(
            f"{name} {time:.2f} ms" for name, time in row["step_ms"].items() if time
        )
        _say(f"{row['kind']} {row['mode']}: {times}")
        layers.append(row)
    rows = []
    for row in growth.rows(dataclasses.replace(protocol, peer=None)):
        _say(f"{row['axis']} {row['value']:,}: {row['step_ms']:.2f} ms")
        rows.append(row)
    peer = "torch" if "torch" in peers else None
    content = measure.described(results, dataclasses.replace(protocol, peer=peer))
    content |= {"input": loading, "convolutions": layers, "growth": rows}
    if loading:
        content["versions"] |= inputs.versions(loading[0]["peer"])
    growth.plot(rows, folder / "growth.png")
    records.write_json(folder / f"{NAME}.json", content)
    (folder / f"{NAME}.md").write_text(page(content), encoding="utf-8")
    _say(f"wrote {NAME}.md, {NAME}.json and growth.png in {folder}")


def input_rows(
    images: str, protocol: measure.Protocol, peers: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Measures the loading of images with each number of worker processes in `WORKERS`.

    Our loader is compared with torchvision if "torch" is among `peers` and torchvision
    is installed.

    Args:
      images: a folder with one folder of images per class.
      protocol: how to measure.
      peers: the names of peers.

    Yields:
      The results of `input.row`.
    """
    options = {"name": "folder", "dir": images, "image_size": "224", "batch_size": "64"}
    for workers in WORKERS:
        values = options | {"random_crop": "(0.08, 1)", "workers": str(workers)}
        overrides = {f"data.{key}": value for key, value in values.items()}
        config = Request(model="resnet50", overrides=overrides).resolve()
        peer = "torch" if "torch" in peers else None
        try:
            row = inputs.row(config, dataclasses.replace(protocol, peer=peer))
        except NoPeer as error:
            _say(f"input: {error}")
            row = inputs.row(config, dataclasses.replace(protocol, peer=None))
        beside = f", {row['ratio']:.2f} of {row['peer']}" if row["peer"] else ""
        _say(f"input, {workers} workers: {row['step_ms']:.2f} ms{beside}")
        yield row


def installed() -> list[str]:
    """Returns the names of the installed peers."""
    return [
        name
        for name in measure.PEERS
        if name != "torch" or importlib.util.find_spec("torch")
    ]


def beside(
    request: Request, protocol: measure.Protocol, peers: Sequence[str]
) -> list[dict[str, Any]]:
    """Measures a network in turns with each peer that has the network.

    If no peer has the network, the network is measured alone.
    """
    subject, results = make(request), []
    for peer in peers:
        try:
            found = measure.measure(subject, dataclasses.replace(protocol, peer=peer))
        except NoPeer as error:
            _say(f"{subject.config.model.name}: {error}")
            continue
        results += found
    if not results:
        results = measure.measure(subject, dataclasses.replace(protocol, peer=None))
    for result in results:
        beside = (
            f", {result['ratio']:.2f} of {result['peer']}" if result["peer"] else ""
        )
        _say(
            f"{result['model']} {result['mode']}, batch {result['batch_size']}: "
            f"{result['step_ms']:.2f} ms{beside}"
        )
    return results


PAGE = """\
# Benchmarks

This page compares the speed of cnn_jax with the speed of other code, called the peer.
`python -m cnn_jax.benchmark --suite` measures the times and writes this page. Its
`--help` describes the measurement. `{name}.json` has the same numbers.

{machine}
* {protocol}

There are two peers. `torch` is PyTorch in the channels-last layout, with one thread for
each core of the CPU. In bfloat16 PyTorch runs under autocast, and on a GPU the network
is compiled. `flax_example` is plain Flax with the training step of flax's ImageNet
example. cnn_jax and the peer are measured in the same run, in turns.

* "input" is the shape of one example, and "batch" the number of examples per step.
* "mode" is "train" for training steps and "infer" for inference.
* "step ms" is the median time of a step in milliseconds. "10-90%" is the range of the
  middle 80% of the times.
* "of peak" is "GFLOP/s" divided by the GFLOP/s of a large matrix product, measured just
  before. It can exceed 100%, because the speed of the machine varies.
* "memory" is the peak memory that the device recorded or, on a CPU, the estimate of the
  compiler.
* "ratio" is the median time of cnn_jax divided by the median time of the peer. Below 1,
  cnn_jax is faster. "of the best" is the same ratio for the shortest times.

{results}
{input}
## Convolutions by kind

Each row is one convolution layer from 64 to 64 channels, in {dtype}. "input" is the
shape of the batch. The mode "infer" computes the convolution; "train" also computes the
gradients with respect to the input and the kernel. `flax` is the layer of flax.linen,
whose convolution XLA computes. A ratio is the time of cnn_jax divided by the time of
`flax` or `torch`.

{convolutions}

## Growth

This table shows how the time and the memory of a training step grow. The network is a
ResNet-20 with batches of 128 images of 32x32 pixels. Each row changes one setting, the
column "along"; "from, to" are its smallest and its largest value. "ms" and "memory" are
the time and the memory of a step at these two values.

An exponent p means that the time or the memory grows like the setting to the power p:
with the exponent 1, a batch twice as large takes twice as long. "of peak" is the share
of the peak speed, as in the first table. If this share does not change, arithmetic
limits the speed. If the share falls, memory access limits the speed. An exponent below
1 shows a fixed cost, which matters less for larger work.

The row "examples" is different. It measures how long it takes to gather one batch from
a data set in memory. Its "memory" is the size of the images of the data set.

{growth}

![Time and memory along each axis](growth.png)
"""


INPUT = """
## Input

This table has the speed of data loading, without a network. The loader of the training
loop reads the images of `--images=DIR` from the disk, decodes them, crops them at
random, and resamples them to batches of uint8 arrays. The peer is torchvision's
`ImageFolder` with PyTorch's `DataLoader`, for the same images and with as many worker
processes.

* "workers" is the number of worker processes that read and decode images. With 0, the
  main process does this work.
* "step ms" is the time per batch.
* "per core" is the number of images per second and decoding process.
* "memory" is the resident memory of the main process and the workers at the beginning
  of an epoch of at least 50 batches. "largest" is the largest resident memory during
  the epoch, and "growth" the difference between its end and its beginning.

{samples}.

{table}
"""


def page(content: dict[str, Any]) -> str:
    """Returns the text of benchmarks.md, given the content of benchmarks.json."""
    machine = tables.machine(content)
    if content["device"]["platform"] == "cpu":
        machine.append("accelerators are not measured yet: none was available")
    return PAGE.format(
        name=NAME,
        machine="\n".join(f"* {line}" for line in machine),
        protocol=tables.protocol(content["results"]),
        results=tables.markdown(content["results"]),
        input=input_section(content["input"]),
        dtype=convolutions.dtype(),
        convolutions=convolutions.markdown(content["convolutions"]),
        growth=growth.markdown(content["growth"]),
    )


def input_section(found: list[dict[str, Any]]) -> str:
    """Returns the section of benchmarks.md about the loading of images.

    Args:
      found: the results of `input_rows`; the section of an empty list is "".
    """
    if not found:
        return ""
    return INPUT.format(
        samples=tables.samples(found).capitalize(),
        table=tables.input_markdown(found),
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
