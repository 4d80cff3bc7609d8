"""A sweep in the training is run only where it is asked for, and says first what a trial does."""

from command_line import loaderscope, write_script

SCRIPT = """
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    def main():
        model = torch.nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for (values,) in DataLoader(TensorDataset(torch.zeros(400, 3)), batch_size=4, shuffle=True):
            optimizer.zero_grad()
            model(values).sum().backward()
            optimizer.step()
            open("checkpoint.pt", "a").write("x")

    if __name__ == "__main__":
        main()
"""


def test_the_training_runs_only_where_it_is_asked_for_and_is_told_before(tmp_path):
    script = write_script(tmp_path, SCRIPT)
    options = ("run", script, "--num-workers", "0,1", "--batches", "5", "--no-ceiling", "-o", "out.loaderscope", "--json")
    plain = loaderscope(tmp_path, *options)
    assert plain.status == 0, plain.stderr
    assert plain.document["request"]["consumer"]["kind"] == "none"
    assert not (tmp_path / "checkpoint.pt").exists()
    assert "checkpoints" not in plain.stderr

    done = loaderscope(tmp_path, *options, "--step", "training", "--force")
    assert done.status == 0, done.stderr
    assert done.document["request"]["consumer"]["kind"] == "training"
    assert done.stderr.count("overwrite checkpoints") == 1
    assert done.stderr.index("overwrite checkpoints") < done.stderr.index("The first trial changed")
    assert "checkpoint.pt" in done.stderr
