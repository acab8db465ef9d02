"""What others published about the networks: their input, and their figures.

`python -m cnn_jax.summary --all` prints these beside the numbers of the networks
here, and `summary --model` takes its default input from them.
"""

import dataclasses

Shape = tuple[int, ...]

MNIST = (32, 32, 1)
CIFAR = (32, 32, 3)
IMAGENET = (224, 224, 3)
VIDEO = (16, 112, 112, 3)
GRAY_PATCH = (48, 48, 1)
RGB_PATCH = (48, 48, 3)
PHOTO = (256, 256, 3)


@dataclasses.dataclass(frozen=True)
class Published:
    """A network in the setting in which it was published.

    Attributes:
      input_shape: of one example, channels last.
      num_classes: of the data set; None for a network that makes images.
      parameters: trainable ones; None where nobody published a figure.
      macs: multiply-accumulates on one example in evaluation, rounded to millions;
        None likewise.
      source: who published the figures.
      auxiliary: whether `parameters` includes the heads that only training uses.
      auxiliary_macs: those of these heads, where `macs` includes them.
    """

    input_shape: Shape
    num_classes: int | None
    parameters: int | None
    macs: int | None
    source: str
    auxiliary: bool = False
    auxiliary_macs: int = 0


def _torchvision(
    parameters: int,
    macs_in_millions: int,
    input_shape: Shape = IMAGENET,
    num_classes: int = 1000,
    auxiliary: bool = False,
    note: str = "",
) -> Published:
    """Figures of torchvision's table of weights; its "GFLOPS" count
    multiply-accumulates."""
    return Published(
        input_shape,
        num_classes,
        parameters,
        macs_in_millions * 10**6,
        f"torchvision{note}",
        auxiliary=auxiliary,
    )


def _pixels(parameters: int, macs_in_millions: int) -> Published:
    """Figures of torchvision's networks for segmentation, with the operations of their
    auxiliary head on 65x65 pixels, since they compute it in evaluation too."""
    head = 65 * 65 * 256 * (9 * 1024 + 21)
    published = _torchvision(
        parameters,
        macs_in_millions,
        (520, 520, 3),
        21,
        auxiliary=True,
        note=f" (with {head / 10**6:,.0f} M of the auxiliary head)",
    )
    return dataclasses.replace(published, auxiliary_macs=head)


def _unpublished(input_shape: Shape, num_classes: int, source: str) -> Published:
    return Published(input_shape, num_classes, None, None, source)


_OPTION_A = (
    "He et al. 2016, whose figures (table 6) are those of shortcuts without parameters"
)

PUBLISHED: dict[str, Published] = {
    "mlp": Published((16, 16, 1), 26, 28_326, None, "256*100 + 100 + 100*26 + 26"),
    "lenet5": Published(
        MNIST, 10, 61_706, None, "textbooks; LeCun et al. 1998 connect fewer maps"
    ),
    "alexnet": Published(
        IMAGENET,
        1000,
        50_844_008,
        None,
        "sum of the lecture's table; it prints 50,840,168, with 26,214,656 for "
        "6400*4096 + 4096 = 26,218,496",
    ),
    "alexnet_grouped": Published(
        IMAGENET,
        1000,
        60_965_224,
        None,
        "Krizhevsky et al. 2012, as in Caffe",
    ),
    "alexnet_owt": _torchvision(61_100_840, 714, note=" (alexnet)"),
    "vgg11": _torchvision(132_863_336, 7_609),
    "vgg11_bn": _torchvision(132_868_840, 7_609),
    "vgg13": _torchvision(133_047_848, 11_308),
    "vgg13_bn": _torchvision(133_053_736, 11_308),
    "vgg16": _torchvision(138_357_544, 15_470),
    "vgg16_bn": _torchvision(138_365_992, 15_470),
    "vgg19": _torchvision(143_667_240, 19_632),
    "vgg19_bn": _torchvision(143_678_248, 19_632),
    "nin": Published(CIFAR, 10, 966_986, None, "Lin et al. 2014, as in Caffe"),
    "googlenet": Published(
        IMAGENET, 1000, 6_998_552, None, "Szegedy et al. 2015, as in Caffe"
    ),
    "googlenet_bn": _torchvision(
        6_624_904, 1_498, note=" (googlenet; 13,004,888 with auxiliary heads)"
    ),
    "inception_v3": _torchvision(27_161_264, 5_713, (299, 299, 3), auxiliary=True),
    "squeezenet1_0": _torchvision(1_248_424, 819),
    "squeezenet1_1": _torchvision(1_235_496, 349),
    "resnet20": Published(
        CIFAR, 10, 272_474, None, "He et al. 2016 with projections, as in most code"
    ),
    "resnet32": _unpublished(CIFAR, 10, _OPTION_A),
    "resnet44": _unpublished(CIFAR, 10, _OPTION_A),
    "resnet56": _unpublished(CIFAR, 10, _OPTION_A),
    "resnet110": _unpublished(CIFAR, 10, _OPTION_A),
    "resnet18": _torchvision(11_689_512, 1_814),
    "resnet34": _torchvision(21_797_672, 3_664),
    "resnet50": _torchvision(25_557_032, 4_089),
    "resnet101": _torchvision(44_549_160, 7_801),
    "resnet152": _torchvision(60_192_808, 11_514),
    "wide_resnet50_2": _torchvision(68_883_240, 11_398),
    "resnext50_32x4d": _torchvision(25_028_904, 4_230),
    "fcn_resnet50": _pixels(35_322_218, 152_717),
    "deeplabv3_resnet50": _pixels(42_004_074, 178_722),
    "preactresnet": _unpublished(IMAGENET, 1000, "He et al. 2016, Identity Mappings"),
    "preactresnet50": _unpublished(IMAGENET, 1000, "He et al. 2016, Identity Mappings"),
    "preactresnet110": _unpublished(CIFAR, 10, "He et al. 2016, Identity Mappings"),
    "preactresnet164": _unpublished(CIFAR, 10, "He et al. 2016, Identity Mappings"),
    "densenet121": _torchvision(7_978_856, 2_834),
    "mobilenet_v2": _torchvision(3_504_872, 301),
    "flattenednet": _unpublished(CIFAR, 10, "Jin et al. 2014"),
    "drn_c_26": Published(
        IMAGENET, 1000, 21_126_584, None, "Yu et al. 2017, their code"
    ),
    "plain": _unpublished(CIFAR, 10, "nobody: it is what the experiments change"),
    "context_net": _unpublished(
        CIFAR, 21, "Yu and Koltun 2016, on VGG-16: 64 C^2 weights of the module"
    ),
    "c3d": Published(VIDEO, 487, 79_991_015, None, "Tran et al. 2015, on Sports-1M"),
    "r2d_18": _unpublished(VIDEO, 400, "Tran et al. 2018, f-R2D: 11.4 M parameters"),
    "r3d_18": _torchvision(33_371_472, 40_697, VIDEO, 400),
    "mc3_18": _torchvision(11_695_440, 43_343, VIDEO, 400),
    "r2plus1d_18": _torchvision(31_505_325, 40_519, VIDEO, 400),
    "unet": Published(
        (256, 256, 3),
        1,
        31_037_633,
        None,
        "many; Ronneberger et al. 2015 with padding and batch normalization",
    ),
    "srcnn": Published(
        GRAY_PATCH, None, 8_129, None, "Dong et al. 2014: 8,032 weights, and 97 biases"
    ),
    "espcn": Published(
        GRAY_PATCH, None, 21_284, None, "64*25 + 32*64*9 + 4*32*9, and 100 biases"
    ),
    "edsr": Published(
        RGB_PATCH, None, 1_369_859, None, "Lim et al. 2017, their code, baseline for x2"
    ),
    "dncnn": Published(
        GRAY_PATCH, None, 556_032, None, "Zhang et al. 2017, in PyTorch"
    ),
    "johnson": Published(
        PHOTO, None, 1_679_235, None, "PyTorch's example fast_neural_style"
    ),
}


def setting(name: str) -> Published:
    """That of a network of `models.MODELS` or, of one on a backbone, the backbone's."""
    return PUBLISHED[name.rpartition(":")[2]]
