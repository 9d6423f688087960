"""Foreign k-means: the same labels as scikit-learn, from every form the centroids come in."""

import pickle

import joblib
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.cluster import DBSCAN, KMeans, MiniBatchKMeans

from most.errors import MostError
from most.speech.encoder import build_encoder
from most.speech.foreign.kmeans import import_units, read_centroids
from most.speech.units import KMeansQuantizer

FRAMES = (3 + 2 * np.random.default_rng(0).normal(size=(900, 16))).astype(np.float32)


@pytest.fixture(scope="module")
def models():
    seeded = np.random.RandomState(0)  # Goes into the pickle, too.
    return {
        "KMeans": KMeans(12, n_init=1, random_state=seeded).fit(FRAMES.astype(np.float64)),
        "MiniBatchKMeans": MiniBatchKMeans(12, n_init=1, random_state=seeded, batch_size=256).fit(FRAMES),
    }


@pytest.fixture
def encoder(tiny_hubert, tmp_path):
    model = tiny_hubert()
    build_encoder(model.config).save(tmp_path / "enc")
    return tmp_path / "enc"


@pytest.mark.parametrize("kind", ["KMeans", "MiniBatchKMeans"])
@pytest.mark.parametrize("form", ["plain", "zlib", "gzip", "pickle"])
def test_labels_are_those_of_scikit_learn(kind, form, models, encoder, tmp_path):
    model, file = models[kind], tmp_path / "km.bin"
    if form == "pickle":
        file.write_bytes(pickle.dumps(model))
    else:
        joblib.dump(model, file, compress=0 if form == "plain" else (form, 3))
    report = import_units(file, encoder, 2, tmp_path / "units")
    assert f"scikit-learn {kind}" in str(report)
    got = KMeansQuantizer.load(tmp_path / "units")(torch.from_numpy(FRAMES)).numpy()
    np.testing.assert_array_equal(got, model.predict(FRAMES.astype(model.cluster_centers_.dtype)))


def test_other_forms(models, tmp_path):
    centroids = models["MiniBatchKMeans"].cluster_centers_
    np.save(tmp_path / "a.npy", centroids)
    np.save(tmp_path / "b.npy", np.asfortranarray(centroids.astype(np.float64)))
    joblib.dump(centroids, tmp_path / "c.joblib")
    torch.save(torch.from_numpy(centroids), tmp_path / "d.pt")
    torch.save({"centroids": torch.from_numpy(centroids), "n": 12, "counts": torch.ones(12)}, tmp_path / "e.pt")
    save_file({"x": torch.from_numpy(centroids)}, tmp_path / "f.safetensors")
    for file in sorted(tmp_path.iterdir()):
        torch.testing.assert_close(read_centroids(file)[1], torch.from_numpy(centroids), rtol=0, atol=0)


def test_refusals_leave_nothing(models, encoder, evil, tmp_path):
    file, out = tmp_path / "km.bin", tmp_path / "units"

    def check(value, match, layer=2, write=joblib.dump):
        write(value, file)
        with pytest.raises(MostError, match=match):
            import_units(file, encoder, layer, out)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["enc", "km.bin"]

    good = models["KMeans"]
    check(DBSCAN().fit(FRAMES[:50]), "sklearn.cluster._dbscan.DBSCAN.*not one of scikit-learn's KMeans")
    check(KMeans(3), "never fitted")
    check(good.cluster_centers_[0], r"\(16,\) float64.*at least 2 units")
    check(good.cluster_centers_.astype(np.int64), r"int64.*must hold floats")
    check(np.full((3, 16), np.nan), "not finite")
    check(good.cluster_centers_[:, :9], "are 16 wide")
    check(good, r"layers 1\.\.3", layer=4)
    check([1, 2], "holds a list")
    check({"a": evil(tmp_path / "ran")}, "posix.system")
    check({"a": 1}, "must hold one matrix")
    joblib.dump(good, file)
    whole = file.read_bytes()
    check(None, "cut short", write=lambda _, path: path.write_bytes(whole[:1500]))
