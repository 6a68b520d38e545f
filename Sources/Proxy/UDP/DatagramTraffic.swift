// What a UDP listener's datagrams are: sessions with endpoints of one service.

public final class DatagramTraffic: ListenerTraffic, @unchecked Sendable {
    let serviceID: Int
    let plan: DatagramPlan

    public init(serviceID: Int, _ plan: DatagramPlan) {
        self.serviceID = serviceID
        self.plan = plan
    }

    override var datagramKind: UInt8 { TokenKind.datagramListener }
}

extension ListenerPlan {
    var datagrams: DatagramTraffic? { traffic as? DatagramTraffic }
}

/// How a UDP listener's datagrams become sessions.
public struct DatagramPlan: Sendable, BitwiseCopyable {
    /// An endpoint for each datagram instead of one for each session.
    public var isPerPacket: Bool
    /// Answers to each of the client's datagrams, after which a session ends; nil: any number.
    public var responses: Int?
    /// Open sessions per worker.
    public var sessionsMax: Int
    /// Bytes of a datagram in either direction.
    public var bytesMax: Int

    public init(isPerPacket: Bool, responses: Int?, sessionsMax: Int, bytesMax: Int) {
        self.isPerPacket = isPerPacket
        self.responses = responses
        self.sessionsMax = sessionsMax
        self.bytesMax = bytesMax
    }
}
