// What somebody holds who will bring an exchange what it waits for.

import Reactor

/// Names one wait of one exchange. May be taken to any thread; what is brought comes to the exchange by its worker's
/// mailbox. Brought after the exchange's end, after its deadline, or twice, it is harmless, and counted.
public struct Ticket: Sendable {
    let mailbox: Mailbox<WorkerMessage>
    let exchange: Handle
    /// Which of the exchange's waits.
    let serial: UInt32

    /// Any thread, once.
    public func bring(_ answer: any Sendable) { mailbox.send(.answer(self, answer)) }
}
