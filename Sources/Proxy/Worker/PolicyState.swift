// What policies keep of an exchange: values of their own types, side by side in one buffer of the exchange, which is
// taken when the first of them is needed.

import Reactor

/// The beginning of that buffer: which values are there.
enum PolicyStates {
    /// Values are aligned to 16 bytes behind the header.
    static let headerBytes = 16
    static let countMax = 64
}

/// A policy that keeps something of the exchanges it has to do with.
class StatefulPolicy<State>: Policy, @unchecked Sendable {
    init(_ name: StaticString, _ text: String, _ hooks: Hooks, for traits: Traits = []) {
        precondition(MemoryLayout<State>.alignment <= 16)
        super.init(name, text, hooks, for: traits, stateBytes: max(1, MemoryLayout<State>.stride))
    }

    /// What it keeps; nil: nothing yet. Stays where it is until the exchange ends.
    final func state(_ exchange: ExchangePointer) -> UnsafeMutablePointer<State>? {
        guard let memory = exchange.pointee.policyMemory, memory.hasState(stateIndex) else { return nil }
        return place(memory)
    }

    /// Begins to keep something. Once for an exchange.
    @discardableResult
    final func begin(_ state: State, _ worker: Worker, _ exchange: ExchangePointer) -> UnsafeMutablePointer<
        State
    > {
        let memory = exchange.pointee.policyMemory ?? worker.takePolicyMemory(exchange)
        precondition(!memory.hasState(stateIndex), "a policy's state begins once")
        memory.stateBits.pointee |= 1 << UInt64(stateIndex)
        let place = place(memory)
        place.initialize(to: state)
        return place
    }

    override final func endState(_ worker: Worker, _ exchange: ExchangePointer) {
        guard let state = state(exchange) else { return }
        end(worker, exchange, &state.pointee)
        state.deinitialize(count: 1)
    }

    /// The exchange goes: what has to be given back is.
    func end(_ worker: Worker, _ exchange: ExchangePointer, _ state: inout State) {}

    private func place(_ memory: BufferPointer) -> UnsafeMutablePointer<State> {
        UnsafeMutableRawPointer(memory.base + stateOffset).assumingMemoryBound(to: State.self)
    }
}

extension UnsafeMutablePointer where Pointee == Buffer {
    fileprivate var stateBits: UnsafeMutablePointer<UInt64> {
        UnsafeMutableRawPointer(base).assumingMemoryBound(to: UInt64.self)
    }

    fileprivate func hasState(_ index: Int) -> Bool { stateBits.pointee >> UInt64(index) & 1 != 0 }
}

extension Worker {
    fileprivate func takePolicyMemory(_ exchange: ExchangePointer) -> BufferPointer {
        let memory = buffers.take(exchange.route?.policies.stateBytes ?? 0)
        memory.stateBits.pointee = 0
        exchange.pointee.policyMemory = memory
        return memory
    }

    /// What policies keep of an exchange ends with it.
    func endPolicyStates(_ exchange: ExchangePointer) {
        guard let memory = exchange.pointee.policyMemory else { return }
        for policy in exchange.route?.policies.policies ?? [] where policy.stateIndex >= 0 {
            policy.endState(self, exchange)
        }
        exchange.pointee.policyMemory = nil
        buffers.give(memory)
    }
}
