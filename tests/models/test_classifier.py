"""The classifier of what a device can run predicts what XGBoost does, and comes back from arrays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from xgboost import XGBClassifier

from hwnas_surrogate.models import TreeClassifier, make_classifier


def test_it_predicts_what_xgboost_does() -> None:
    values = np.random.default_rng(0).integers(0, 3, (300, 5)).astype(float)
    frame = pd.DataFrame(values, columns=list("abcde"))
    runs = (values[:, 0] + values[:, 1] > 1) | (values[:, 4] == 2)
    same = XGBClassifier(
        n_estimators=200, learning_rate=0.1, max_depth=4, subsample=0.8, colsample_bytree=0.5, n_jobs=1, random_state=3
    ).fit(frame, runs)
    model = make_classifier(3).fit(frame, runs)
    predicted = model.predict_proba(frame)
    np.testing.assert_allclose(predicted, same.predict_proba(frame), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(predicted.sum(axis=1), 1, rtol=1e-12)
    assert np.array_equal(model.predict(frame), runs)
    assert model.classes_.tolist() == [False, True]
    again = TreeClassifier().from_arrays(model.to_arrays(), model.feature_names_in_)
    assert np.array_equal(again.predict_proba(frame), predicted)
    with pytest.raises(ValueError, match="feature names"):
        model.predict_proba(frame[list("edcba")])


def test_it_must_be_fitted() -> None:
    with pytest.raises(NotFittedError):
        TreeClassifier().predict_proba(pd.DataFrame({"a": [1.0]}))
