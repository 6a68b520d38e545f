// What the admin API serves on: made by the control plane, followed by whoever serves.

import Proxy

public struct AdminPlan: Sendable {
    /// Open already; empty when the admin API is off.
    public var sockets: [ListeningSockets] = []
    /// Names that may stand in Host besides addresses, localhost and names without a dot, in lower case.
    public var hosts: Set<String> = []
}
