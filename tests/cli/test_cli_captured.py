"""What was captured is said: in the log of a run, its document and its page, and in the targets after a look."""

from command_line import loaderscope, write_script

SCRIPT = """
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    def main():
        training = DataLoader(TensorDataset(torch.zeros(400, 3)), batch_size=8, shuffle=True)
        for number, batch in enumerate(DataLoader(TensorDataset(torch.zeros(50, 3)), batch_size=5)):
            if number == 1:
                break
        for batch in training:
            pass

    if __name__ == "__main__":
        main()
"""


def test_a_run_says_which_loader_it_profiles_and_why(tmp_path):
    script = write_script(tmp_path, SCRIPT)
    done = loaderscope(tmp_path, "run", script, "--num-workers", "0,1", "--batches", "5", "-o", "out.loaderscope", "--json")
    assert done.status == 0, done.stderr
    captured = done.document["captured"]
    lines = (tmp_path / script).read_text().splitlines()
    made = next(number for number, line in enumerate(lines, 1) if "shuffle=True" in line)
    iterated = next(number for number, line in enumerate(lines, 1) if "in training" in line)
    assert (captured["made"].endswith(f"{script}:{made}"), captured["iterated"].endswith(f"{script}:{iterated}")) == (True, True)
    facts = [captured[key] for key in ("function", "class", "dataset", "length", "batch_size", "shuffles", "why")]
    assert facts == ["main", "DataLoader", "TensorDataset", 400, 8, True, "it shuffles"]
    assert [(loader["number"], loader["length"], loader["chosen"]) for loader in captured["met"]] == [(0, 50, False), (1, 400, True)]
    assert done.document["target"]["name"] == "captured:1"
    assert {trial["status"] for trial in done.document["trials"]} == {"ok"}
    assert f"{script.name}:{made}" in done.stderr and "captured:0" in done.stderr

    shown = loaderscope(tmp_path, "show", "out.loaderscope", "--json")
    assert shown.document["captured"] == captured
    assert f"{script.name}:{iterated}" in loaderscope(tmp_path, "show", "out.loaderscope", COLUMNS="200").stdout


def test_a_look_lists_the_loaders_that_were_met(tmp_path):
    script = write_script(tmp_path, SCRIPT)
    done = loaderscope(tmp_path, "targets", script, "--look", "60", "--json")
    assert [(loader["length"], loader["chosen"]) for loader in done.document["loaders"]] == [(50, False), (400, True)]
    assert all(loader["evidence"] for loader in done.document["loaders"])
    assert "60 s" in done.stderr
    page = loaderscope(tmp_path, "targets", script, "--look", "60").stdout
    assert "captured:1" in page and "captured:0" in page
    assert loaderscope(tmp_path, "targets", script, "--json").document["loaders"] is None


def test_a_look_and_a_target_exclude_each_other(tmp_path):
    done = loaderscope(tmp_path, "run", write_script(tmp_path, SCRIPT), "--look", "5", "--target", "captured:0")
    assert done.status == 2 and "--look" in done.stderr
