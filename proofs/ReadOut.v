(** T5: what a query reads from labels is the posterior of a linear discriminant. *)

From mathcomp Require Import all_ssreflect all_fingroup all_algebra ring.
From ICL Require Import Attention.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section ReadOut.

(** Classes with shares [p c] and means [mu c]; a query [x]; the sharpness [alpha] of a layer. *)
Variables (R : realFieldType) (e : exponential R) (d K : nat).
Variables (p : 'I_K -> R) (mu : 'I_K -> 'cV[R]_d) (x : 'cV[R]_d) (alpha : R).

(** pi = softmax_c (log p_c + alpha <x, mu_c>), written without the logarithm. *)
Definition read_mass c : R := p c * e (alpha * dot x (mu c)) / \sum_k p k * e (alpha * dot x (mu k)).

(** The density of N(mu, I / a) at [x], up to the constant [Z] that all classes share. *)
Definition gauss (Z a : R) (mu x : 'cV[R]_d) : R := Z * e (- (a / 2%:R * dot (x - mu) (x - mu))).

(** Bayes' posterior for given priors (proportional to them is enough) and densities. *)
Definition posterior (prior density : 'I_K -> R) c : R := prior c * density c / \sum_k prior k * density k.

Lemma posterior_scale (prior prior' density density' : 'I_K -> R) a c : a != 0 ->
  (forall k, prior k * density k = a * (prior' k * density' k)) ->
  posterior prior density c = posterior prior' density' c.
Proof.
by move=> a0 same; rewrite /posterior same (eq_bigr _ (fun k _ => same k)) -mulr_sumr -mulf_div mulfV ?mul1r.
Qed.

(** Collapsed classes, any finite sample: a query without a label (scores alpha <x, x_j> alone) reads pi - 1/K. *)
Theorem T5_collapsed (J : finType) (y : J -> 'I_K) :
  (forall c, p c = #|[set j | y j == c]|%:R / #|J|%:R) -> (0 < #|J|)%N ->
  \sum_j softmax e (fun j => alpha * dot x (mu (y j))) j *: label R (y j) = \col_c (read_mass c - K%:R^-1).
Proof.
move=> pE J0; apply/colP => i; rewrite summxE !mxE.
set E := fun k => e (alpha * dot x (mu k)).
have /card_gt0P [j0 _] := J0.
have n0 : #|J|%:R != 0 :> R by rewrite pnatr_eq0 -lt0n.
rewrite (eq_bigr (fun j => softmax e (fun j => alpha * dot x (mu (y j))) j * (y j == i)%:R
    - softmax e (fun j => alpha * dot x (mu (y j))) j * K%:R^-1)) => [|j _]; last first.
  by rewrite !mxE mulrBr eq_sym.
rewrite sumrB -mulr_suml softmax_sum // mul1r; congr (_ - _).
have count c : \sum_j E (y j) * (y j == c)%:R = #|J|%:R * (p c * E c).
  rewrite pE [RHS]mulrA [#|J|%:R * _]mulrC divfK // [RHS]mulrC -sum1dep_card natr_sum mulr_sumr [RHS]big_mkcond /=.
  by apply: eq_bigr => j _; case: eqP => [->|]; rewrite ?mulr1 ?mulr0.
have total : \sum_j E (y j) = #|J|%:R * \sum_k p k * E k.
  rewrite mulr_sumr -(eq_bigr _ (fun c _ => count c)) exchange_big; apply: eq_bigr => j _ /=.
  by rewrite (bigD1 (y j)) //= eqxx mulr1 big1 ?addr0 // => c /negbTE; rewrite eq_sym => ->; rewrite mulr0.
rewrite /softmax -/(E _) total /read_mass.
under eq_bigr => j _ do rewrite -/(E _) mulrAC.
by rewrite -mulr_suml count -mulf_div mulfV // mul1r.
Qed.


(** 1. For any alpha this is the posterior of classes N(mu_c, I / alpha) with priors p_c e^(alpha |mu_c|^2 / 2). *)
Theorem T5_posterior Z c : Z != 0 ->
  read_mass c = posterior (fun k => p k * e (alpha / 2%:R * dot (mu k) (mu k))) (fun k => gauss Z alpha (mu k) x) c.
Proof.
move=> Z0; symmetry; pose a := Z * e (- (alpha / 2%:R * dot x x)).
apply: (@posterior_scale _ p _ (fun k => e (alpha * dot x (mu k))) a) => [|k]; first by rewrite mulf_neq0 ?exp_neq0.
have key : e (alpha / 2%:R * dot (mu k) (mu k)) * e (- (alpha / 2%:R * dot (x - mu k) (x - mu k)))
    = e (- (alpha / 2%:R * dot x x)) * e (alpha * dot x (mu k)).
  rewrite -!expD; congr (e _); rewrite !dotBl !dotBr (dotC (mu k) x).
  by move: (dot _ _) (dot _ _) (dot _ _) => q r s; field.
by rewrite /a /gauss mulrACA key [RHS]mulrACA [Z * p k]mulrC.
Qed.

(** 2. So it is Bayes' posterior for N(mu_c, I / alpha) and shares p_c if all means are equally long. *)
Theorem T5_bayes Z N c : Z != 0 -> (forall k, dot (mu k) (mu k) = N) ->
  read_mass c = posterior p (fun k => gauss Z alpha (mu k) x) c.
Proof.
move=> Z0 same; rewrite (T5_posterior _ Z0).
apply: (@posterior_scale _ _ _ _ (e (alpha / 2%:R * N))) => [|k]; first exact: exp_neq0.
by rewrite same (mulrC (p k)) mulrA.
Qed.

(** The largest logit is that of the largest mass, if delta > 0. *)
Theorem T5_answer delta c k : 0 < delta ->
  (delta * (read_mass c - K%:R^-1) < delta * (read_mass k - K%:R^-1)) = (read_mass c < read_mass k).
Proof. by move=> delta0; rewrite ltr_pmul2l // ltr_add2r. Qed.

End ReadOut.
