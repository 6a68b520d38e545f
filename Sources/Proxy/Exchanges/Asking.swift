// Asking a service: from whatever is on the stack, for the next turn of the loop.

import Reactor

extension TokenKind {
    /// Calls that are to begin.
    static let call: UInt8 = 19
}

extension Worker {
    /// Asks a service; what came of it is brought by the ticket. As many wait here as there are exchanges that do.
    func ask(_ request: CallRequest, _ ticket: Ticket) {
        if asked.isEmpty {
            goOnNextTurn(Token(kind: TokenKind.call, handle: Handle(index: 0, generation: 0)))
        }
        asked.append((request, ticket))
    }
}
