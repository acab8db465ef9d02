"""Style transfer."""

from cnn_jax.training.config import choose, default


def gatys():
    """The pixels themselves, by Adam."""
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
    """The same in small."""
    config = gatys()
    config.data.image_size = (128,)
    return config


def johnson():
    """A network of half the published width."""
    config = gatys()
    config.data = {"name": "pictures_and_styles", "batch_size": 2, "image_size": (128,)}
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
    """A decoder of `fire4`, by the moments of maps up to it."""
    config = johnson()
    config.model = {"name": "adain:squeezenet1_0", "content_layers": ("fire4",)}
    config.model.style_layers = ("conv1", "pool1", "fire2", "fire3", "fire4")
    config.task.statistics = "moments"
    config.optimizer.learning_rate = 1e-3
    return config


def get_config(arg=None):
    return choose(
        {"embedded": embedded, "gatys": gatys, "johnson": johnson, "adain": adain}, arg
    )
