// What a listener's connections or datagrams are: of each protocol its room's own class (HTTPTraffic, TunnelTraffic,
// DatagramTraffic), which holds what the room has to know of a listener beyond what all have.
//
// A room is asked once per connection whether it serves one of these (`Room.serves`), and downcasts its own.

/// What is spoken on a listener, for the room that speaks it. Subclasses hold constants only: plans are shared.
public class ListenerTraffic: @unchecked Sendable {
    /// The kind of the tokens of the listener's datagram sockets: its room's. Connections are accepted for all.
    var datagramKind: UInt8 { TokenKind.listener }

    init() {}
}
