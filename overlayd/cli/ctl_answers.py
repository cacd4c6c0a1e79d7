"""Which schema each command's ``-o json`` answers by, of an agent and of a controller. Pure data.

A command that is not here cannot be declared (`overlayd.cli.ctl`); `docs/schemas` has each.
"""

from typing import Final

ANSWERS: Final[dict[str, tuple[str, ...]]] = {
    "ctl_node:version": ("overlayd.version/1",),
    "ctl_node:status": ("overlayd.status/1",),
    "ctl_node:join": ("overlayd.done/1",),
    "ctl_node:leave": ("overlayd.done/1",),
    "ctl_netcheck:netcheck": ("overlayd.netcheck/1",),
    "ctl_wait:wait": ("overlayd.status/1",),
    "ctl_ping:ping": ("overlayd.ping/1",),
    "ctl_path:trace": ("overlayd.trace/1",),
    "ctl_path:explain": ("overlayd.local.explanation/1", "overlayd.explanation/1"),
    "ctl_events:events": ("overlayd.local.events/1", "overlayd.events/1"),
    "ctl_top:top": ("overlayd.local.top/1",),
    "ctl_plan:plan": ("overlayd.plan/1",),
    "ctl_lists:nodes": ("overlayd.local.nodes/1", "overlayd.nodes/1"),
    "ctl_lists:links": ("overlayd.local.links/1", "overlayd.links/1"),
    "ctl_lists:routes": ("overlayd.local.routes/1", "overlayd.routes/1"),
    "ctl_past:matrix": ("overlayd.link-matrix/1",),
    "ctl_past:history": ("overlayd.route-history/1",),
    "ctl_pins:pin": ("overlayd.pins/1",),
    "ctl_pins:unpin": ("overlayd.unpinned/1",),
    "ctl_pins:pins": ("overlayd.pins/1",),
    "ctl_controller:tokens": ("overlayd.tokens/1",),
    "ctl_controller:create_token": ("overlayd.token/1",),
    "ctl_config:check": ("overlayd.config-check/1",),
    "ctl_config:diff": ("overlayd.config-diff/1",),
    "ctl_config:apply": ("overlayd.config-trial/1",),
    "ctl_config:confirm": ("overlayd.config-trial/1",),
    "ctl_config:rollback": ("overlayd.config-trial/1",),
    "ctl_apps:apply": ("overlayd.applied/1",),
    "ctl_apps:get": ("overlayd.objects/1", "overlayd.object-change/1"),
    "ctl_apps:delete": ("overlayd.deleted/1",),
    "ctl_apps_describe:describe": ("overlayd.description/1",),
    "ctl_apps_logs:logs": ("overlayd.log/1",),
    "ctl_apps_rollout:status": ("overlayd.rollout/1",),
    "ctl_apps_rollout:history": ("overlayd.rollout-history/1",),
    "ctl_apps_rollout:undo": ("overlayd.rollout-change/1",),
    "ctl_apps_rollout:pause": ("overlayd.rollout-change/1",),
    "ctl_apps_rollout:resume": ("overlayd.rollout-change/1",),
    "ctl_apps_rollout:restart": ("overlayd.rollout-change/1",),
    "ctl_bugreport:bugreport": ("overlayd.bugreport/1",),
}
