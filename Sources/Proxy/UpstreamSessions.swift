// Sessions to endpoints: many exchanges on few connections.

import Glibc
import HTTP2
import HTTPModel
import Reactor
import Resilience
import Telemetry

extension Worker {
    func upstreamSessionEvent(_ record: SessionPointer, _ event: HTTP2Event) {}

    func upstreamCarrierEnded(_ upstream: UpstreamPointer, errno: Int32) {}

    func upstreamStreamBroke(_ upstream: UpstreamPointer) {}
}
