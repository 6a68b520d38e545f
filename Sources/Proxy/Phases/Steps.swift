// The steps of policies at the hooks of the phases before an endpoint is asked: in order, until one refuses, answers or
// waits. One that waits is resumed with what has come; nothing else goes on in its place.

import WeirResilience

extension Worker {
    /// Walks the steps of a hook from a place in the chain on. True: all have passed.
    @inline(__always)
    func pass(_ exchange: ExchangePointer, _ hook: Hooks, from first: Int) -> Bool {
        !exchange.pointee.hooks.contains(hook) || walk(exchange, hook, from: first)
    }

    private func walk(_ exchange: ExchangePointer, _ hook: Hooks, from first: Int) -> Bool {
        guard let route = exchange.pointee.lentRoute else { return true }
        return route { route in
            let chain = route.policies
            var i = first
            while i < chain.count {
                let step = chain.steps[i]
                if step.hooks.contains(hook), step.traits.isSubset(of: exchange.pointee.traits) {
                    let result = step.policy._withUnsafeGuaranteedRef { $0.take(hook, self, exchange) }
                    if !passes(result, exchange, hook, i) { return false }
                }
                i &+= 1
            }
            return true
        }
    }

    private func passes(_ result: StepResult, _ exchange: ExchangePointer, _ hook: Hooks, _ i: Int) -> Bool {
        switch result {
        case .pass: return true
        case .refuse(let failure): exchange.fail(failure)
        case .answered: break
        case .wait:
            exchange.pointee.waitingHook = hook
            exchange.pointee.waitingStep = UInt8(i)
        }
        return false
    }

    /// The step that waits is told what has come, and what follows it goes on when it passes.
    func resume(_ exchange: ExchangePointer, _ brought: Brought) {
        guard let route = exchange.route else { return }
        let hook = exchange.pointee.waitingHook
        let i = Int(exchange.pointee.waitingStep)
        if case .body = brought {} else { clearTimer(exchange) }
        if case .answer = brought {
            // The ticket is spent; whoever waits on takes another.
            exchange.pointee.waitsFor = .nothing
            exchange.pointee.waitSerial &+= 1
        }
        let result = route.policies.policies[i].resume(self, exchange, brought)
        if case .wait = result {
            precondition(exchange.pointee.waitsFor != .nothing, "a step that waits says for what")
            return
        }
        exchange.pointee.waitsFor = .nothing
        clearTimer(exchange)
        guard passes(result, exchange, hook, i) else { return }
        run(exchange, from: hook.phase, step: i + 1)
    }

    /// Body bytes have come, or the client's end.
    func clientBodyReady(_ exchange: ExchangePointer) {
        switch exchange.pointee.waitsFor {
        case .body: resume(exchange, .body)
        case .nothing: pumpRequestBody(exchange.attempt)
        case .backoff, .answer: lookAfterClient(exchange)
        }
    }

    /// While something else is waited for, bytes of the body stay where they are; a client that has gone is noticed.
    private func lookAfterClient(_ exchange: ExchangePointer) {
        let client = exchange.pointee.client
        guard client.pointee.peerEnded, client.pointee.transport.peek() <= 0 else { return }
        client.pointee.canRead = false
        exchange.clientEnded(errno: client.pointee.transport.pendingError())
    }
}

extension Policy {
    /// Its step at a hook before an endpoint is asked.
    fileprivate func take(_ hook: Hooks, _ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        switch hook {
        case .admit: admit(worker, exchange)
        case .lookup: lookup(worker, exchange)
        default: select(worker, exchange)
        }
    }
}

extension Hooks {
    /// The phase whose beginning it is.
    fileprivate var phase: Phase {
        switch self {
        case .admit: .admit
        case .lookup: .lookup
        default: .select
        }
    }
}
