;; CRC-32C (Castagnoli's polynomial, reflected). Memory: eight tables of 256 i32 at 0; the checksum so far at 8192; zeros from 8196 on; the bytes to take
;; from 16384 on, which are overwritten.
;; init(): fills the tables; once. update(end): takes the bytes [16384, end) into the checksum, which begins and ends inverted by the caller.
;; Most bytes need no table: x^(8*5321) + x^(8*3574) + x^(8*2491) + 1 is a multiple of the polynomial, so that a byte changes the checksum as much as the
;; same byte 1747, 2830 and 5321 places on, all three together. So each is added to those, sixteen at a time, until only the last ones are left
;; (S. Russell, "Chorba: A novel CRC32 implementation", 2024, does so with other multiples of another polynomial).
(module
  (memory (export "memory") 3)
  (func (export "init")
    (local $byte i32) (local $bit i32) (local $crc i32) (local $at i32)
    (loop $bytes
      (local.set $crc (local.get $byte))
      (local.set $bit (i32.const 8))
      (loop $bits
        (local.set $crc
          (i32.xor
            (i32.shr_u (local.get $crc) (i32.const 1))
            (i32.and
              (i32.sub (i32.const 0) (i32.and (local.get $crc) (i32.const 1)))
              (i32.const 0x82f63b78))))
        (br_if $bits (local.tee $bit (i32.sub (local.get $bit) (i32.const 1)))))
      (i32.store (i32.shl (local.get $byte) (i32.const 2)) (local.get $crc))
      (br_if $bytes (i32.lt_u (local.tee $byte (i32.add (local.get $byte) (i32.const 1))) (i32.const 256))))
    ;; Each further table goes one zero byte on from the one before.
    (local.set $at (i32.const 1024))
    (loop $rest
      (local.set $crc (i32.load (i32.sub (local.get $at) (i32.const 1024))))
      (i32.store (local.get $at)
        (i32.xor
          (i32.shr_u (local.get $crc) (i32.const 8))
          (i32.load (i32.shl (i32.and (local.get $crc) (i32.const 255)) (i32.const 2)))))
      (br_if $rest (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (i32.const 8192)))))
  ;; Adds the bytes that lie so far before.
  (func $add (param $at i32) (param $distance i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $at) (local.get $distance)))
    (loop $sixteen
      (v128.store align=1 (local.get $at)
        (v128.xor
          (v128.load align=1 (local.get $at))
          (v128.load align=1 (i32.sub (local.get $at) (local.get $distance)))))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (br_if $sixteen (i32.ge_u (i32.sub (local.get $end) (local.get $at)) (i32.const 16))))
    (block $done
      (loop $one
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (i32.store8 (local.get $at)
          (i32.xor
            (i32.load8_u (local.get $at))
            (i32.load8_u (i32.sub (local.get $at) (local.get $distance)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $one))))
  ;; From where the last bytes begin, to which the others have been added.
  (func $fold (param $end i32) (result i32)
    (local $at i32) (local $last i32)
    ;; Of the place 5321 before the one that is added to, where the zeros still are at first.
    (local.set $at (i32.const 11063))
    (local.set $last
      (i32.add
        (local.get $at)
        (i32.and (i32.sub (local.get $end) (i32.const 21705)) (i32.const -16))))
    (loop $sixteen
      (v128.store offset=5321 align=1 (local.get $at)
        (v128.xor
          (v128.xor
            (v128.load offset=5321 align=1 (local.get $at))
            (v128.load offset=3574 align=1 (local.get $at)))
          (v128.xor
            (v128.load offset=2491 align=1 (local.get $at))
            (v128.load align=1 (local.get $at)))))
      (br_if $sixteen
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $last))))
    (local.set $at (i32.add (local.get $at) (i32.const 5321)))
    (call $add (local.get $at) (i32.const 1747))
    (call $add (local.get $at) (i32.const 2830))
    (call $add (local.get $at) (i32.const 5321))
    (local.get $at))
  (func (export "update") (param $end i32)
    (local $crc i32) (local $at i32) (local $high i32)
    (local.set $crc (i32.load (i32.const 8192)))
    (local.set $at (i32.const 16384))
    (if (i32.ge_u (i32.sub (local.get $end) (local.get $at)) (i32.const 8192))
      (then
        (i32.store (i32.const 16384) (i32.xor (i32.load (i32.const 16384)) (local.get $crc)))
        (local.set $crc (i32.const 0))
        (local.set $at (call $fold (local.get $end)))))
    (block $done8
      (loop $next8
        (br_if $done8 (i32.lt_u (i32.sub (local.get $end) (local.get $at)) (i32.const 8)))
        (local.set $crc (i32.xor (local.get $crc) (i32.load align=1 (local.get $at))))
        (local.set $high (i32.load offset=4 align=1 (local.get $at)))
        (local.set $crc
          (i32.xor
            (i32.xor
              (i32.xor
                (i32.load offset=7168 (i32.and (i32.shl (local.get $crc) (i32.const 2)) (i32.const 1020)))
                (i32.load offset=6144 (i32.and (i32.shr_u (local.get $crc) (i32.const 6)) (i32.const 1020))))
              (i32.xor
                (i32.load offset=5120 (i32.and (i32.shr_u (local.get $crc) (i32.const 14)) (i32.const 1020)))
                (i32.load offset=4096 (i32.and (i32.shr_u (local.get $crc) (i32.const 22)) (i32.const 1020)))))
            (i32.xor
              (i32.xor
                (i32.load offset=3072 (i32.and (i32.shl (local.get $high) (i32.const 2)) (i32.const 1020)))
                (i32.load offset=2048 (i32.and (i32.shr_u (local.get $high) (i32.const 6)) (i32.const 1020))))
              (i32.xor
                (i32.load offset=1024 (i32.and (i32.shr_u (local.get $high) (i32.const 14)) (i32.const 1020)))
                (i32.load (i32.and (i32.shr_u (local.get $high) (i32.const 22)) (i32.const 1020)))))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $next8)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $crc
          (i32.xor
            (i32.shr_u (local.get $crc) (i32.const 8))
            (i32.load
              (i32.shl
                (i32.and (i32.xor (local.get $crc) (i32.load8_u (local.get $at))) (i32.const 255))
                (i32.const 2)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i32.store (i32.const 8192) (local.get $crc))))
