// What an HTTP listener's connections are: requests that its router looks at. What they need stands in the
// listener's plan itself: it is read with every request. A version that comes in datagrams adds its own in a subclass.

public class HTTPTraffic: ListenerTraffic, @unchecked Sendable {
    override public init() {}
}
