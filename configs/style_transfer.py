"""Style transfer: the content of one picture in the style of another.

    python -m cnn_jax.main --config=configs/style_transfer.py
    python -m cnn_jax.main --config=configs/style_transfer.py:gatys \\
        --config.data.file=A.png --config.data.style=B.png \\
        --config.model.init_from=FILE
    python -m cnn_jax.predict --workdir=runs/style_transfer-gatys A.png --output=FOLDER

These commands learn one picture: A in the style of B (Gatys et al. 2016). FILE has the
weights of a SqueezeNet 1.0: torchvision's ImageNet weights, or the weights of your own
run. The first command has no FILE and uses random weights, which capture colors and
strokes but little texture.

    python -m cnn_jax.main --config=configs/style_transfer.py:johnson \\
        --config.data.dir=DIR --config.data.styles=B.png --config.model.init_from=FILE
    python -m cnn_jax.predict --workdir=runs/style_transfer-johnson A.png \\
        --output=FOLDER

These commands learn, from the pictures in DIR, a network that gives any picture the
style of B (Johnson et al. 2016).

    python -m cnn_jax.main --config=configs/style_transfer.py:adain \\
        --config.data.dir=DIR --config.data.styles=DIR --config.model.init_from=FILE
    python -m cnn_jax.predict --workdir=runs/style_transfer-adain A.png --style=B.png \\
        --output=FOLDER

These commands learn a network for any style (Huang and Belongie 2017). The score
`improvement` is 1 - loss / input_loss, where `input_loss` is the loss of the content
picture itself.

Results on two busy CPU cores (one seed), with ImageNet weights and scikit-image's
section of tissue as the style:

* `:gatys`, scikit-learn's pagoda at 256x256 pixels: the style loss is 0.039 (3.72 for
  the content itself) after 93 s in all. With random weights, at 128x128, it is 0.006
  (1.07) after 40 s of processor time.
* `:johnson`, trained on BSD100: the style loss is 0.355 on ten other pictures (4.26 for
  the contents) after 4 minutes of processor time. The network then makes 256x256 pixels
  in 0.14 s, and with the published width of 32 in 0.4 s, after 3.4 s to compile.
* `:adain`, contents and styles from BSD100, in as much time: the style loss is 0.402
  (1.32 for the contents). Colors are transferred; details are still coarse, because 600
  steps are few for any style.
"""

from cnn_jax.training.config import choose, default


def gatys():
    """Learns the pixels themselves with Adam."""
    config = default()
    config.data = {"name": "picture_and_style", "batch_size": 1}
    config.model = {"name": "pixels:squeezenet1_0"}
    config.task = {"name": "style_transfer"}
    config.optimizer = {"name": "adamw", "learning_rate": 0.05, "weight_decay": 0.0}
    config.optimizer.freeze = "backbone"
    config.train = {"steps": 200, "log_every_steps": 20}
    config.eval = {"every_steps": 100}
    return config


def embedded():
    """`gatys` on smaller pictures."""
    config = gatys()
    config.data.image_size = (128,)
    return config


def johnson():
    """A network of half the published width."""
    config = gatys()
    config.data = {"name": "pictures_and_styles", "batch_size": 2, "image_size": (128,)}
    config.data.val = 1
    config.model = {"name": "johnson:squeezenet1_0", "network_width": 16}
    config.model.content_layers = ("fire3",)
    config.task.style_weight = 0.5
    config.task.variation_weight = 5.0
    config.optimizer.learning_rate = 3e-3
    config.schedule = {"name": "cosine", "warmup_steps": 20}
    config.train = {"steps": 500, "log_every_steps": 50}
    config.eval = {"every_steps": 250}
    return config


def adain():
    """A decoder of `fire4`, trained with the moments of the maps up to `fire4`."""
    config = johnson()
    config.model = {"name": "adain:squeezenet1_0", "content_layers": ("fire4",)}
    config.model.style_layers = ("conv1", "pool1", "fire2", "fire3", "fire4")
    config.task.statistics = "moments"
    config.task.style_weight = 2.0
    config.task.variation_weight = 10.0
    config.optimizer.learning_rate = 1e-3
    config.train.steps = 600
    config.eval.every_steps = 200
    return config


def get_config(arg=None):
    return choose(
        {"embedded": embedded, "gatys": gatys, "johnson": johnson, "adain": adain}, arg
    )
