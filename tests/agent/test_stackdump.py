"""The timer that writes the stacks of a process which makes no progress."""

import faulthandler

import pytest

from loaderscope.agent.stackdump import StackDump

NOW_NS = 5_000_000_000


@pytest.mark.parametrize("timeout_s", [0.5, 2.0, 30.0, 3600.0])
def test_the_timer_is_put_back_well_before_it_fires_and_fires_before_the_trial_is_given_up(timeout_s, tmp_path, monkeypatch):
    set_s = []
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda after_s, **_others: set_s.append(after_s))
    dump = StackDump(timeout_s)
    dump.open(str(tmp_path / "stacks"))
    due_s = (dump.rearm(NOW_NS) - NOW_NS) / 1e9
    dump.close()
    assert 0 < due_s < 0.5 * set_s[0], "a process that goes on is not taken for one that does not"
    assert 0.5 * timeout_s < set_s[0] - due_s < set_s[0] < 0.8 * timeout_s
