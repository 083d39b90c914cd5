from workflows.services.common_service import CommonService


class Legacy(CommonService):
    def initializing(self):
        print "subscribing"
        self._transport.subscribe("legacy", self.receive)

    def receive(self, header, message):
        try:
            print message["file"]
        except KeyError, e:
            print e
