// Kinds of tokens, one number each; a room names those that are its own (`Room.kinds`).

enum TokenKind {
    static let client: UInt8 = 0
    static let upstream: UInt8 = 1
    static let tunnelClient: UInt8 = 2
    static let tunnelUpstream: UInt8 = 3
    static let listener: UInt8 = 4
    static let mailbox: UInt8 = 5
    static let exchange: UInt8 = 6
    static let acceptPause: UInt8 = 7
    static let tick: UInt8 = 8
    static let exchangeTotal: UInt8 = 9
    static let session: UInt8 = 10
    static let pipes: UInt8 = 11
    static let retirement: UInt8 = 12
    static let datagramListener: UInt8 = 14
    static let datagramSession: UInt8 = 15
    static let stream: UInt8 = 16
}
