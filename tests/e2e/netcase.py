"""What the tests on network namespaces share: a cluster with a namespace for each box, requests and ways between them."""

import http.client
import json
import os
import unittest

from namespaces import Net, NetCluster
from support import PATIENCE, ClusterCase


@unittest.skipUnless(os.geteuid() == 0, "network namespaces need root")
class NetCase(ClusterCase):
    NAT = 0  # so many boxes, the last ones, are behind NAT

    @classmethod
    def setUpClass(cls):
        cls.net = Net(cls.SIZE, nat=cls.NAT)
        cls.net.__enter__()
        cls.addClassCleanup(cls.net.close)
        cls.cluster = NetCluster(cls.net, extra=cls.EXTRA)
        cls.addClassCleanup(cls.cluster.close)
        cls.cluster.start()
        cls.cluster.wait_members(cls.SIZE, PATIENCE)

    def tearDown(self):
        self.net.mend()
        super().tearDown()

    def ask(self, box, path="/", timeout=2):
        """A request at the door of a box, made on that box."""
        with self.net.inside(box):
            connection = http.client.HTTPConnection(*self.cluster.nodes[box].door.split(":"), timeout=timeout)
            connection.connect()
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise OSError(f"{response.status} {body[:100]!r}")
        return json.loads(body)

    def links(self, box):
        """(from, to) -> way, as box sees it."""
        return {(row["from"], row["to"]): row["way"] for row in self.cluster.nodes[box].get("/v1/links")}

    def way(self, a, b):
        return self.links(a)[self.cluster.nodes[a].name, self.cluster.nodes[b].name]

    def deploy_on(self, box, version="1"):
        where = f"""\
            x-http: {{path: /}}
            deploy:
              replicas: 1
              placement: {{constraints: ["node.hostname == {self.cluster.nodes[box].name}"]}}
            """
        service = self.echo_service(replicas=1, version=version, more=where).replace("    deploy: {replicas: 1}\n", "")
        self.cluster.deploy(self.compose(service))

    def newest_event(self):
        return max(e["at_ms"] for e in self.events()) + 1
