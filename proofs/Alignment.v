(** T2, parts 1 and 4, on a finite probability space: points of one class are aligned on average, without a margin,
    and label noise costs a factor. *)

From mathcomp Require Import all_ssreflect all_fingroup all_algebra ring.
From ICL Require Import Attention.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Alignment.

(** A random point [x w] and its label [y w], where outcome [w] has probability [p w]. *)
Variables (R : realFieldType) (d : nat) (Omega C : finType).
Variables (p : Omega -> R) (x : Omega -> 'cV[R]_d) (y : Omega -> C).

Hypothesis p_ge0 : forall w, 0 <= p w.
Hypothesis p_sum : \sum_w p w = 1.

(** v_c = E[x 1{y = c}], the probability of a class, and the mean of a class. *)
Definition part c : 'cV[R]_d := \sum_w (p w * (y w == c)%:R) *: x w.
Definition prob c : R := \sum_w p w * (y w == c)%:R.
Definition conditional_mean c : 'cV[R]_d := (prob c)^-1 *: part c.

(** The expectation of f over two independent copies of the outcome. *)
Definition pair_mean (f : Omega -> Omega -> R) : R := \sum_w \sum_w' p w * p w' * f w w'.

Definition aligned : R := pair_mean (fun w w' => (y w == y w')%:R * dot (x w) (x w')).
Definition opposed : R := pair_mean (fun w w' => (y w != y w')%:R * dot (x w) (x w')).

Lemma sum_parts : \sum_c part c = \sum_w p w *: x w.
Proof.
rewrite exchange_big; apply: eq_bigr => w _; rewrite -scaler_suml -mulr_sumr (bigD1 (y w)) //= eqxx.
by rewrite big1 ?addr0 ?mulr1 // => c /negbTE; rewrite eq_sym => ->.
Qed.

(** Labels that agree: the inner product is a sum of squares on average. No assumption but independence. *)
Theorem T2_aligned : aligned = \sum_c dot (part c) (part c) /\ 0 <= aligned.
Proof.
suff -> : aligned = \sum_c dot (part c) (part c) by split=> //; apply: sumr_ge0 => c _; apply: dot_ge0.
rewrite /aligned /pair_mean.
under [RHS]eq_bigr => c _ do rewrite dot_suml.
rewrite [RHS]exchange_big; apply: eq_bigr => w _ /=.
under [RHS]eq_bigr => c _ do rewrite dot_sumr.
rewrite [RHS]exchange_big; apply: eq_bigr => w' _ /=.
rewrite (bigD1 (y w)) //= big1 ?addr0 => [|c /negbTE wc]; last by rewrite eq_sym wc mulr0 dotZl mul0r.
by rewrite eqxx mulr1 dotZl dotZr [y w' == _]eq_sym; move: (dot _ _) (_ == _)%:R => q b; ring.
Qed.

Hypothesis centred : \sum_w p w *: x w = 0.

(** Labels that differ: the same with a minus sign, if the points have mean zero. *)
Theorem T2_opposed : opposed = - aligned.
Proof.
apply/eqP; rewrite -addr_eq0 addrC -big_split /=; apply/eqP.
rewrite (_ : \sum_w _ = dot (\sum_w p w *: x w) (\sum_w p w *: x w)); first by rewrite centred dot0l.
rewrite dot_suml; apply: eq_bigr => w _; rewrite dot_sumr -big_split; apply: eq_bigr => w' _ /=.
by rewrite dotZl dotZr; case: (y w == y w') => /=; move: (dot _ _) => q; ring.
Qed.

(** Both vanish if and only if the mean of each class that occurs is zero. *)
Theorem T2_vanish : (aligned == 0) = [forall c, (prob c != 0) ==> (conditional_mean c == 0)].
Proof.
rewrite (T2_aligned).1 psumr_eq0 => [|c _]; last exact: dot_ge0.
apply/allP/forallP => [zero c|zero c _].
  by apply/implyP => _; have := zero c (mem_index_enum c); rewrite /= dot_eq0 => /eqP c0; rewrite /conditional_mean c0 scaler0.
rewrite /= dot_eq0; have [pc|pc] := eqVneq (prob c) 0; last first.
  by have := implyP (zero c) pc; rewrite scaler_eq0 invr_eq0 (negbTE pc).
have term_ge0 w : 0 <= p w * (y w == c)%:R by rewrite mulr_ge0 ?p_ge0 ?ler0n.
move/eqP: pc; rewrite psumr_eq0 => [/allP pc|w _]; last exact: term_ge0.
by rewrite /part big1 // => w _; have /eqP := pc w (mem_index_enum w) => /= ->; rewrite scale0r.
Qed.

End Alignment.
