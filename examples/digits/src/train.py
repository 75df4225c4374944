"""Learn to read handwritten digits: scikit-learn's 1,797 images of 8 by 8 pixels, a small neural network.

The last 20 images are never touched, neither to learn nor to measure: `unseen.json` holds them for the endpoint.
"""

import argparse
import json
from pathlib import Path

import mlflow
import numpy as np
from scipy.ndimage import affine_transform
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

UNSEEN = 20
COPIES = 3


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--hidden", type=int, default=256, help="units of the hidden layer")
    parser.add_argument("--learning-rate", type=float, default=0.002)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


def varied(images, rng):
    """Return the images each a little turned, zoomed and moved, so that the network learns shapes, not positions."""
    centre = np.array([3.5, 3.5])
    result = np.empty_like(images)
    for index, image in enumerate(images):
        angle, zoom, move = rng.normal(0, 0.1), rng.normal(1, 0.06), rng.normal(0, 0.35, 2)
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
        offset = centre - matrix @ (centre + move)
        result[index] = affine_transform(image.reshape(8, 8), matrix, offset=offset, order=1).ravel()
    return result


def save(model, folder, metrics):
    """Write plain arrays: unlike a pickle, they can't run code where they are loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"classes": model.classes_}
    for layer, (weights, biases) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        arrays[f"weights_{layer}"] = weights.astype(np.float32)
        arrays[f"biases_{layer}"] = biases.astype(np.float32)
    np.savez_compressed(folder / "digits.npz", **arrays)
    (folder.parent / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")


def main():
    args = parse_args()
    mlflow.log_params(vars(args))

    images, labels = load_digits(return_X_y=True)
    images, labels = images[:-UNSEEN] / 16.0, labels[:-UNSEEN]
    learn_x, held_x, learn_y, held_y = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=args.seed
    )
    print(f"{len(learn_y)} images to learn from, {len(held_y)} held out", flush=True)

    rng = np.random.default_rng(args.seed)
    model = MLPClassifier((args.hidden,), batch_size=32, learning_rate_init=args.learning_rate, random_state=args.seed)
    for epoch in range(1, args.epochs + 1):
        shown = np.concatenate([learn_x, *(varied(learn_x, rng) for _ in range(COPIES))])
        model.partial_fit(shown, np.tile(learn_y, 1 + COPIES), classes=np.arange(10))
        accuracy = float(model.score(held_x, held_y))
        mlflow.log_metric("accuracy", accuracy, step=epoch)
        mlflow.log_metric("loss", float(model.loss_), step=epoch)
        if epoch % 5 == 0 or epoch == args.epochs:
            print(f"epoch {epoch}  accuracy {accuracy:.3f}", flush=True)

    save(model, Path("outputs/model"), {"accuracy": accuracy, "loss": float(model.loss_), "epochs": args.epochs})


if __name__ == "__main__":
    main()
