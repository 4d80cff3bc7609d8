"""Agents and scripts for the tests of this folder."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator

import pytest
from agent_interpreter import AGENT_PYTHON
from agents import DrivenAgent, write_into

from loaderscope.sweep.processes.agent_process import AgentProcess


@contextlib.contextmanager
def _agents(folder: pathlib.Path) -> Iterator[Callable[[], DrivenAgent]]:
    agents: list[DrivenAgent] = []

    def start() -> DrivenAgent:
        agents.append(DrivenAgent(AgentProcess(AGENT_PYTHON, str(folder)), folder))
        return agents[-1]

    yield start
    for agent in agents:
        agent.process.close(at_once=True)


@pytest.fixture
def start_agent(tmp_path: pathlib.Path) -> Iterator[Callable[[], DrivenAgent]]:
    """Starts agents, which end with the test."""
    with _agents(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def start_shared_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], DrivenAgent]]:
    """Starts agents that several tests of a module share; they work in one folder."""
    with _agents(tmp_path_factory.mktemp("shared")) as start:
        yield start


@pytest.fixture
def agent(start_agent: Callable[[], DrivenAgent]) -> DrivenAgent:
    return start_agent()


@pytest.fixture
def write(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Writes a file of a script into the test's folder."""
    return lambda text, name="train.py": write_into(tmp_path, text, name)
