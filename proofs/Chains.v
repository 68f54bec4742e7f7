(** P1c on chains of readers: how much a far point can do to a near token, through readers of readers of it. *)

From mathcomp Require Import all_ssreflect all_algebra ring.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Chain.

Variable R : realFieldType.

(** A chain begins at a point at radius w and goes on through readers, each with the tilt c of its layer and its radius
    r; whoever reads the last of them is at 0. A step from w to a reader at r costs (w - c r)^2. *)
Fixpoint cost (w : R) (chain : seq (R * R)) : R :=
  match chain with
  | [::] => w ^+ 2
  | (c, r) :: rest => (w - c * r) ^+ 2 + cost r rest
  end.

(** T of the layers on a chain: 1 + c^2 (1 + c'^2 (1 + ...)). *)
Fixpoint total (chain : seq (R * R)) : R :=
  match chain with
  | [::] => 1
  | (c, _) :: rest => 1 + c ^+ 2 * total rest
  end.

Lemma total_ge1 chain : 1 <= total chain.
Proof.
elim: chain => [|[c r] rest IH] //=.
by rewrite ler_addl mulr_ge0 ?sqr_ge0 // (le_trans ler01).
Qed.

Lemma total_gt0 chain : 0 < total chain.
Proof. exact: lt_le_trans ltr01 (total_ge1 chain). Qed.

(** A chain that begins at w costs at least w^2 / T, whatever its readers are. *)
Theorem P1c_chain w chain : w ^+ 2 <= total chain * cost w chain.
Proof.
elim: chain w => [|[c r] rest IH] w /=; first by rewrite mul1r.
have T0 := total_gt0 rest; have := IH r.
set T := total rest in T0 *; set K := cost r rest => rK.
rewrite -subr_ge0 -(pmulr_rge0 _ T0).
have -> : T * ((1 + c ^+ 2 * T) * ((w - c * r) ^+ 2 + K) - w ^+ 2)
    = (1 + c ^+ 2 * T) * (T * K - r ^+ 2) + (r - c * T * (w - c * r)) ^+ 2 by ring.
rewrite addr_ge0 ?sqr_ge0 // mulr_ge0 ?subr_ge0 //.
by rewrite addr_ge0 ?ler01 // mulr_ge0 ?sqr_ge0 // ltW.
Qed.

(** The exponent of a near token: at least a half for all chains with T at most 2. *)
Theorem P1c_near w chain : total chain <= 2%:R -> 2%:R^-1 <= (1 - w ^+ 2) / 2%:R + cost w chain.
Proof.
move=> T2; have T0 := total_gt0 chain; have wK := P1c_chain w chain.
have K0 : 0 <= cost w chain by rewrite -(pmulr_rge0 _ T0) (le_trans (sqr_ge0 w)).
have wK2 : w ^+ 2 <= 2%:R * cost w chain by rewrite (le_trans wK) // ler_wpmul2r.
rewrite -subr_ge0; have two : 2%:R != 0 :> R by rewrite pnatr_eq0.
have -> : (1 - w ^+ 2) / 2%:R + cost w chain - 2%:R^-1 = (2%:R * cost w chain - w ^+ 2) / 2%:R by field.
by rewrite mulr_ge0 ?subr_ge0 // invr_ge0 ler0n.
Qed.

End Chain.
