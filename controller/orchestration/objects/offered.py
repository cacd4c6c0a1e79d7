"""The kinds that a controller offers, and the group's own among them. Pure: a declaration.

A kind stands here from the day on which something acts on its objects.
"""

from controller.orchestration.objects.app import APP
from controller.orchestration.objects.approute import APP_ROUTE
from controller.orchestration.objects.core import EVENT, NAMESPACE
from controller.orchestration.objects.kinds import Catalogue
from controller.orchestration.objects.node import NODE
from controller.orchestration.objects.pod import POD
from controller.orchestration.objects.policy import POLICY
from controller.orchestration.objects.steering import STEERING
from controller.orchestration.objects.usergroup import USER_GROUP

OFFERED = Catalogue((NAMESPACE, EVENT, POD, NODE, APP, APP_ROUTE, USER_GROUP, POLICY, STEERING))
