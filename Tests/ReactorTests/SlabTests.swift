// Slab: bound, generations, stale handles; memory that does not move.

import WeirBalancing
import Testing

@testable import Reactor

/// #require cannot be handed a call that changes a non-copyable value.
private func took<Value>(_ value: Value?) throws -> Value { try #require(value) }

@Suite struct SlabTests {
    @Test(arguments: [0, 1, 2, 127, 128, 129, 300])
    func boundIsExact(countMax: Int) {
        var slab = Slab<UInt64>(countMax: countMax)
        var handles: [Handle] = []
        while let (pointer, handle) = slab.allocate() {
            pointer.initialize(to: UInt64(handle.index))
            handles.append(handle)
            if handles.count > countMax { break }
        }
        #expect(handles.count == countMax)
        #expect(slab.count == countMax)
        #expect(Set(handles.map(\.index)).count == countMax)
        // At the bound, one given back is one to be had.
        if let last = handles.last {
            slab.release(last)
            #expect(slab.count == countMax - 1)
            let again = slab.allocate()
            #expect(again?.handle.index == last.index)
            let beyond = slab.allocate()
            #expect(beyond?.handle == nil)
        }
    }

    @Test func staleHandlesNameNothing() throws {
        var slab = Slab<Int>(countMax: 10)
        let (pointer, old) = try took(slab.allocate())
        pointer.initialize(to: 1)
        #expect(slab.pointer(old) == pointer)
        slab.release(old)
        #expect(slab.pointer(old) == nil)
        let (again, new) = try took(slab.allocate())
        again.initialize(to: 2)
        // The same slot, and yet another name.
        #expect(new.index == old.index && new != old)
        #expect(slab.pointer(old) == nil)
        #expect(slab.pointer(new)?.pointee == 2)
    }

    @Test func handlesFromNowhereNameNothing() throws {
        var slab = Slab<Int>(countMax: 10)
        #expect(slab.pointer(Handle(index: 0, generation: 0)) == nil)
        #expect(slab.pointer(.none) == nil)
        _ = try took(slab.allocate())
        #expect(slab.pointer(.none) == nil)
        // What the loop uses for tokens that are not about a slab slot.
        #expect(slab.pointer(Handle(index: 0, generation: 0)) == nil)
        #expect(slab.pointer(Handle(index: 128, generation: 1)) == nil)
    }

    /// The handle as it comes back from the kernel, after many reuses of one slot.
    @Test func tokensCarryTheGeneration() throws {
        var slab = Slab<Int>(countMax: 1)
        var previous = Handle.none
        for _ in 0..<1000 {
            let (_, handle) = try took(slab.allocate())
            let token = Token(kind: 63, handle: handle)
            #expect(token.kind == 63 && token.handle == handle)
            #expect(slab.pointer(token.handle) != nil)
            #expect(slab.pointer(Token(kind: 63, handle: previous).handle) == nil)
            previous = handle
            slab.release(handle)
        }
    }

    @Test func tokenKeepsItsParts() {
        let handle = Handle(index: 0xdead_beef, generation: 0x03ff_ffff)
        for kind in UInt8(0)...63 {
            let token = Token(kind: kind, handle: handle)
            #expect(token.kind == kind && token.index == 0xdead_beef && token.generation == 0x03ff_ffff)
            #expect(Token(raw: token.raw) == token)
        }
    }

    /// Random allocation and release against a dictionary; addresses must stay while the slab grows.
    @Test(arguments: 1...UInt64(10))
    func againstModel(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var slab = Slab<UInt64>(countMax: 500)
        var live: [(handle: Handle, pointer: UnsafeMutablePointer<UInt64>, value: UInt64)] = []
        var dead: [Handle] = []
        for step in UInt64(0)..<4000 {
            if UInt64.random(in: 0..<100, using: &random) < 55 {
                guard let (pointer, handle) = slab.allocate() else {
                    #expect(live.count == 500)
                    continue
                }
                pointer.initialize(to: step)
                live.append((handle, pointer, step))
            } else if !live.isEmpty {
                let gone = live.remove(at: Int.random(in: 0..<live.count, using: &random))
                slab.release(gone.handle)
                dead.append(gone.handle)
            }
        }
        #expect(slab.count == live.count)
        #expect(live.allSatisfy { slab.pointer($0.handle) == $0.pointer && $0.pointer.pointee == $0.value })
        #expect(dead.allSatisfy { slab.pointer($0) == nil })
        var seen: [UInt64] = []
        func note(_ element: UnsafeMutablePointer<UInt64>) { seen.append(element.pointee) }
        slab.each(note)
        #expect(seen.sorted() == live.map(\.value).sorted())
    }
}
