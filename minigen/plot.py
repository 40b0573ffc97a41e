"""Pictures: what the demos and the comparison share. Matplotlib is imported on use, and no global state of it is touched."""

import os

import numpy as np

from minigen.backend import to_host


def figure(width=8.0, height=5.0, **kwargs):
    """A Matplotlib figure of a size in inches, whose parts do not overlap."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", **kwargs)


def save_figure(fig, out, name):
    """Write the figure to out/name.png, making the folder, and print its path, which is returned."""
    os.makedirs(out, exist_ok=True)
    path = os.path.join(out, f"{name}.png")
    fig.savefig(path, dpi=110)
    print(path)
    return path


def mosaic(images, columns, gap=1, background=1.0):
    """Images (n, H, W) or (n, H, W, C), values in [0, 1], as one image with `columns` of them a row.

    >>> mosaic(np.zeros((3, 2, 2)), columns=2).shape
    (5, 5)
    """
    images = np.clip(np.asarray(to_host(images), float), 0, 1)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    n, h, w = images.shape[:3]
    rows = -(-n // columns)
    canvas = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, *images.shape[3:]), background)
    for i, image in enumerate(images):
        r, c = divmod(i, columns)
        canvas[r * (h + gap) : r * (h + gap) + h, c * (w + gap) : c * (w + gap) + w] = image
    return canvas


def show_images(axes, images, columns, title=None, ink=True):
    """Draw images in a mosaic on an axes; with `ink`, 1 is black on white paper, as one writes."""
    picture = mosaic(images, columns, background=0.0 if ink else 1.0)
    axes.imshow(picture, cmap="gray_r" if ink else "gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    if title:
        axes.set_title(title, fontsize=9)


def density_map(axes, log_prob, low, high, title=None, size=150):
    """Draw exp(log_prob) over the square [low, high]²; points are given to log_prob as one array (size², 2)."""
    line = np.linspace(low, high, size)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    density = np.exp(np.asarray(to_host(log_prob(points)), float)).reshape(size, size)
    axes.imshow(density, extent=(low, high, low, high), origin="lower", cmap="magma", interpolation="bilinear")
    axes.set_xticks([])
    axes.set_yticks([])
    if title:
        axes.set_title(title, fontsize=9)


def scatter(axes, points, title=None, limit=None, **kwargs):
    """Draw 2-D points as small dots on equal axes."""
    points = to_host(points)
    axes.scatter(points[:, 0], points[:, 1], **{"s": 3, "alpha": 0.5, "linewidths": 0, **kwargs})
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    if limit is not None:
        axes.set_xlim(-limit, limit)
        axes.set_ylim(-limit, limit)
    if title:
        axes.set_title(title, fontsize=9)
