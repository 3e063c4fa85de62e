"""A confirmation in this process, its trainings counted or made up."""

from __future__ import annotations

from tuun_da.engines.retraining import Training


class InProcess:
    """In place of ``retraining.Workers``: one job after the other, here."""

    threads = 1

    def __init__(self, count):
        self.count = count

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def run(self, function, jobs, on_done):
        for number, job in enumerate(jobs):
            on_done(number, function(*job))


class MadeUp:
    """In place of trainings: ``score`` and ``predict`` of a Training say what would have come out."""

    def __init__(self, monkeypatch, score, predict):
        self.trained: list[Training] = []
        self.tested: list[Training] = []
        self._score, self._predict = score, predict
        monkeypatch.setattr("tuun_da.engines.confirm.Workers", InProcess)
        monkeypatch.setattr("tuun_da.engines.finished_trainings.train_one", self.train)
        monkeypatch.setattr("tuun_da.engines.finished_trainings.predict_one", self.predict)

    def train(self, training, device, threads, keep):
        score = self._score(training)
        self.trained.append(training)
        if keep is not None:
            with open(keep, "w") as file:
                file.write("a network")
        return score

    def predict(self, training, device, threads, keep):
        with open(keep) as file:
            assert file.read() == "a network"
        self.tested.append(training)
        return self._predict(training)
