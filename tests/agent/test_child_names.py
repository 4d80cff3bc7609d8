"""Names of the processes that a script started through multiprocessing."""

import multiprocessing

from loaderscope.agent.child_names import names_of_children


def test_the_server_of_a_manager_has_its_name():
    with multiprocessing.get_context("spawn").Manager() as manager:
        pid = str(manager._process.pid)
        assert names_of_children()[pid].startswith("SyncManager-")
