"""Choices of sites that apps have, gathered while they are looked for. Pure."""

from itertools import combinations

import numpy as np

from controller.orchestration.placement.problem import F64, NOWHERE_MS, Problem, Sites, cost_of
from controller.orchestration.placement.programs import Matrix, matrix


class Columns:
    """The first ones are to be nowhere, one an app; ``of[app]`` are an app's."""

    def __init__(self, problem: Problem) -> None:
        apps = len(problem.demands)
        self.problem = problem
        self.app: list[int] = list(range(apps))
        self.sites: list[Sites] = [()] * apps
        self.cost: list[float] = [NOWHERE_MS] * apps
        self.of: list[list[int]] = [[app] for app in range(apps)]
        self._known: set[tuple[int, Sites]] = set()

    def __len__(self) -> int:
        return len(self.app)

    def add(self, app: int, sites: Sites, cost: float | None = None) -> None:
        """Take in a choice, if it is a new one, and possible. ``cost``: what it costs, if that is known."""
        if not sites or (app, sites) in self._known:
            return
        self._known.add((app, sites))
        cost = cost_of(self.problem.demands[app], sites) if cost is None else cost
        if np.isfinite(cost):
            self.of[app].append(len(self.app))
            self.app.append(app)
            self.sites.append(sites)
            self.cost.append(cost)

    def add_all(self, app: int) -> None:
        """Add every choice that the app has."""
        demand = self.problem.demands[app]
        for size in range(demand.least, demand.most + 1):
            for sites in combinations(demand.possible, size):
                self.add(app, sites)

    def takes(self, columns: list[int]) -> Matrix:
        """Return what each of ``columns`` takes, [node · resources + resource, column]."""
        capacity = self.problem.capacity
        resources = int(capacity.shape[1])
        column = np.repeat(np.arange(len(columns)), [len(self.sites[c]) for c in columns])
        site = np.array([site for c in columns for site in self.sites[c]], np.intp)
        requests: F64 = np.array([self.problem.demands[self.app[c]].requests for c in columns])[column]
        row = np.repeat(site, resources) * resources + np.tile(np.arange(resources), len(site))
        shape = capacity.size, len(columns)
        return matrix(requests.ravel(), row, np.repeat(column, resources), shape)

    def ones(self, columns: list[int], apps: list[int]) -> Matrix:
        """Return the matrix of "one column an app", [app, column]."""
        row = {app: number for number, app in enumerate(apps)}
        rows = np.array([row[self.app[column]] for column in columns], np.intp)
        shape = len(apps), len(columns)
        return matrix(np.ones(len(columns)), rows, np.arange(len(columns)), shape)
