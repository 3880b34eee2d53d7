;; CRC-64 as Redis has it (Jones' polynomial, reflected), eight bytes at a time. Memory: eight tables of 256 i64 at 0, the checksum so far,
;; little-endian, at 16384, the bytes to take from 16392 on.
;; init(): fills the tables; once. update(at, end): takes the bytes [at, end) into the checksum.
(module
  (memory (export "memory") 3)
  (func (export "init")
    (local $byte i32) (local $bit i32) (local $crc i64) (local $at i32)
    (loop $bytes
      (local.set $crc (i64.extend_i32_u (local.get $byte)))
      (local.set $bit (i32.const 8))
      (loop $bits
        (local.set $crc
          (i64.xor
            (i64.shr_u (local.get $crc) (i64.const 1))
            (i64.and
              (i64.sub (i64.const 0) (i64.and (local.get $crc) (i64.const 1)))
              (i64.const 0x95ac9329ac4bc9b5))))
        (br_if $bits (local.tee $bit (i32.sub (local.get $bit) (i32.const 1)))))
      (i64.store (i32.shl (local.get $byte) (i32.const 3)) (local.get $crc))
      (br_if $bytes (i32.lt_u (local.tee $byte (i32.add (local.get $byte) (i32.const 1))) (i32.const 256))))
    ;; Each further table goes one zero byte on from the one before.
    (local.set $at (i32.const 2048))
    (loop $rest
      (local.set $crc (i64.load (i32.sub (local.get $at) (i32.const 2048))))
      (i64.store (local.get $at)
        (i64.xor
          (i64.shr_u (local.get $crc) (i64.const 8))
          (i64.load (i32.shl (i32.and (i32.wrap_i64 (local.get $crc)) (i32.const 255)) (i32.const 3)))))
      (br_if $rest (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 16384)))))
  (func (export "update") (param $at i32) (param $end i32)
    (local $crc i64) (local $end8 i32)
    (local.set $crc (i64.load (i32.const 16384)))
    (local.set $end8 (i32.sub (local.get $end) (i32.const 7)))
    (block $done8
      (loop $next8
        (br_if $done8 (i32.ge_s (local.get $at) (local.get $end8)))
        (local.set $crc (i64.xor (local.get $crc) (i64.load align=1 (local.get $at))))
        (local.set $crc
          (i64.xor
            (i64.xor
              (i64.xor
                (i64.load offset=14336 (i32.and (i32.shl (i32.wrap_i64 (local.get $crc)) (i32.const 3)) (i32.const 2040)))
                (i64.load offset=12288 (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 5))) (i32.const 2040))))
              (i64.xor
                (i64.load offset=10240 (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 13))) (i32.const 2040)))
                (i64.load offset=8192 (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 21))) (i32.const 2040)))))
            (i64.xor
              (i64.xor
                (i64.load offset=6144 (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 29))) (i32.const 2040)))
                (i64.load offset=4096 (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 37))) (i32.const 2040))))
              (i64.xor
                (i64.load offset=2048 (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 45))) (i32.const 2040)))
                (i64.load (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 53))) (i32.const 2040)))))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $next8)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_s (local.get $at) (local.get $end)))
        (local.set $crc
          (i64.xor
            (i64.shr_u (local.get $crc) (i64.const 8))
            (i64.load
              (i32.shl
                (i32.and (i32.xor (i32.wrap_i64 (local.get $crc)) (i32.load8_u (local.get $at))) (i32.const 255))
                (i32.const 3)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i64.store (i32.const 16384) (local.get $crc))))
