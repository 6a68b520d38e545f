// The rooms of the data plane that have events: the one list of them.

import Telemetry

extension RoomTable {
    /// In the order in which a turn's ends are theirs.
    static func dataPlane() -> RoomTable {
        RoomTable([LoopRoom(), ListeningRoom(), HTTPRoom(), TunnelRoom(), DatagramRoom()])
    }
}

extension Worker {
    public convenience init(
        index: Int, snapshot: Snapshot, limits: WorkerLimits, log: AccessLogBuffer?, eventLog: Log,
        metrics: WorkerMetrics, surroundings: Surroundings = Surroundings()
    ) {
        self.init(
            index: index, snapshot: snapshot, limits: limits, log: log, eventLog: eventLog, metrics: metrics,
            rooms: .dataPlane(), surroundings: surroundings)
    }
}
