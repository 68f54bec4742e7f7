(** P2: what attention does to the distance of two readers with the same label block. No Gaussian, no limit. *)

From mathcomp Require Import all_ssreflect all_fingroup all_algebra ring.
From ICL Require Import Attention.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** ** Two readers at any distance *)

Section Distance.

Variables (R : realFieldType) (e : exponential R) (d : nat) (J : finType) (x : J -> 'cV[R]_d).

Lemma chebyshev (a r t : J -> R) : \sum_j a j = 1 ->
  2%:R * (\sum_j a j * (r j * t j) - (\sum_j a j * r j) * (\sum_j a j * t j))
    = \sum_i \sum_j a i * a j * ((r i - r j) * (t i - t j)).
Proof.
move=> a1; set A := \sum_j a j * (r j * t j); set B := \sum_j a j * r j; set D := \sum_j a j * t j.
have inner i : \sum_j a i * a j * ((r i - r j) * (t i - t j))
    = a i * (r i * t i) - a i * r i * D - a i * t i * B + a i * A.
  rewrite (eq_bigr (fun j => a i * (r i * t i) * a j - a i * r i * (a j * t j) - a i * t i * (a j * r j)
      + a i * (a j * (r j * t j)))) => [|j _]; last by ring.
  by rewrite big_split !sumrB /= -!mulr_sumr a1 mulr1.
rewrite (eq_bigr _ (fun i _ => inner i)) big_split !sumrB /= -!mulr_suml a1 -/A -/B -/D.
by ring.
Qed.

Lemma softmax_shift (s s' : J -> R) j :
  softmax e s j = softmax e s' j * e (s j - s' j) / \sum_k softmax e s' k * e (s k - s' k).
Proof.
have Z0 : \sum_k e (s' k) != 0.
  by rewrite gt_eqF // (bigD1 j) //= ltr_paddr ?exp_gt0 // sumr_ge0 // => k _; rewrite ltW ?exp_gt0.
have shift k : softmax e s' k * e (s k - s' k) = e (s k) * (\sum_k e (s' k))^-1.
  by rewrite /softmax mulrAC -expD addrC subrK.
rewrite shift (eq_bigr _ (fun k _ => shift k)) -mulr_suml -mulf_div.
by rewrite divff ?mulr1 // invr_eq0.
Qed.

(** Attention with scores alpha <z, x_j> + c_j; the term c_j stands for what label blocks contribute, the same for
    both readers. *)
Definition read (alpha : R) (c : J -> R) (z : 'cV[R]_d) : 'cV[R]_d :=
  \sum_j softmax e (fun j => alpha * dot z (x j) + c j) j *: x j.

Lemma tilt_sum_gt0 (s : J -> R) (r : J -> R) (j0 : J) : 0 < \sum_k softmax e s k * e (r k).
Proof.
rewrite (bigD1 j0) //=; apply: ltr_paddr; last by apply: mulr_gt0; [apply: softmax_gt0 | apply: exp_gt0].
by apply: sumr_ge0 => k _; apply: mulr_ge0; apply: ltW; [apply: softmax_gt0 | apply: exp_gt0].
Qed.

(** Two readers see means that differ in the direction in which they differ, up to the sign of alpha. *)
Theorem P2_monotone alpha c z z' : 0 <= alpha * dot (z - z') (read alpha c z - read alpha c z').
Proof.
set s := fun j => alpha * dot z (x j) + c j; set s' := fun j => alpha * dot z' (x j) + c j.
set a := softmax e s'; pose t j := s j - s' j; pose r j := e (t j).
have tE j : t j = alpha * dot (z - z') (x j).
  by rewrite /t /s /s' opprD addrACA subrr addr0 -mulrBr -dotBl.
have -> : alpha * dot (z - z') (read alpha c z - read alpha c z') = \sum_j softmax e s j * t j - \sum_j a j * t j.
  rewrite dotBr mulrBr !dot_sumr !mulr_sumr; congr (_ - _); apply: eq_bigr => j _;
    by rewrite tE dotZr mulrCA.
case: (pickP (fun _ : J => true)) => [j0 _|none]; last by rewrite !big_pred0 ?subrr // => j; have := none j.
set E := \sum_k a k * r k.
have E0 : 0 < E by apply: tilt_sum_gt0.
have -> : \sum_j softmax e s j * t j = E^-1 * \sum_j a j * (r j * t j).
  rewrite mulr_sumr; apply: eq_bigr => j _; rewrite (softmax_shift s s') -/a -/(t j) -/(r j).
  by rewrite -[\sum_k a k * _]/E [_ / E]mulrC -!mulrA.
have -> : E^-1 * (\sum_j a j * (r j * t j)) - \sum_j a j * t j
    = E^-1 * (\sum_j a j * (r j * t j) - E * \sum_j a j * t j).
  by rewrite mulrBr mulrA mulVf ?mul1r // gt_eqF.
apply: mulr_ge0; first by rewrite invr_ge0 ltW.
rewrite -(pmulr_rge0 _ (ltr0Sn R 1)) chebyshev; last exact: softmax_sum.
apply: sumr_ge0 => i _; apply: sumr_ge0 => j _.
apply: mulr_ge0; first by apply: mulr_ge0; apply: ltW; apply: softmax_gt0.
have [tij|/ltW tij] := leP (t j) (t i).
  by apply: mulr_ge0; rewrite subr_ge0 // ler_exp.
by apply: mulr_le0; rewrite subr_le0 // ler_exp.
Qed.

Lemma read_blind c z z' : read 0 c z = read 0 c z'.
Proof.
apply: eq_bigr => j _; congr (_ *: _).
by apply: (@eq_softmax _ e) => k; rewrite !mul0r.
Qed.

(** The features of a reader after a layer of heads [H]. *)
Definition next (H : finType) (gamma alpha : H -> R) (c : H -> J -> R) (z : 'cV[R]_d) : 'cV[R]_d :=
  z + \sum_h gamma h *: read (alpha h) (c h) z.

Lemma dot_square (u v : 'cV[R]_d) : dot (u + v) (u + v) = dot u u + 2%:R * dot u v + dot v v.
Proof.
by rewrite dotDl !dotDr (dotC v u); move: (dot u u) (dot u v) (dot v v) => p q r; ring.
Qed.

(** If gamma alpha >= 0 in all heads, no two readers with the same label block come closer. *)
Theorem P2_grows (H : finType) (gamma alpha : H -> R) (c : H -> J -> R) z z' : (forall h, 0 <= gamma h * alpha h) ->
  dot (z - z') (z - z') <= dot (next gamma alpha c z - next gamma alpha c z') (next gamma alpha c z - next gamma alpha c z').
Proof.
move=> sign; set D := z - z'.
pose w := \sum_h gamma h *: (read (alpha h) (c h) z - read (alpha h) (c h) z').
have -> : next gamma alpha c z - next gamma alpha c z' = D + w.
  rewrite /next opprD addrACA; congr (_ + _); rewrite -sumrB; apply: eq_bigr => h _.
  by rewrite scalerBr.
have w0 : 0 <= dot D w.
  rewrite dot_sumr; apply: sumr_ge0 => h _; rewrite dotZr.
  have mono := P2_monotone (alpha h) (c h) z z'; rewrite -/D in mono.
  have [a0|a0] := eqVneq (alpha h) 0; first by rewrite a0 (read_blind _ z z') subrr dot0r mulr0.
  have a2 : 0 < alpha h ^+ 2 by rewrite lt_def sqrf_eq0 a0 sqr_ge0.
  rewrite -(pmulr_rge0 _ a2) expr2 mulrA -mulrA mulrACA -mulrA mulrCA.
  by rewrite mulrA; apply: mulr_ge0.
rewrite (dot_square D w) -addrA ler_addl; apply: addr_ge0 (dot_ge0 w).
by rewrite mulr_ge0 ?ler0n.
Qed.

(** ** The derivative of a layer, I + kappa C with C a covariance *)

Section Covariance.

(** Attention [a]; [kappa] is gamma alpha. *)
Variables (a : J -> R) (lambda kappa : R).
Hypothesis a_ge0 : forall j, 0 <= a j.

(** The mean and the covariance of the points under attention [a]. *)
Definition centre : 'cV[R]_d := \sum_j a j *: x j.
Definition covariance : 'M[R]_d := \sum_j a j *: ((x j - centre) *m (x j - centre)^T).

Lemma covarianceE (v : 'cV[R]_d) : covariance *m v = \sum_j (a j * dot (x j - centre) v) *: (x j - centre).
Proof.
rewrite mulmx_suml; apply: eq_bigr => j _.
by rewrite -scalemxAl -mulmxA [_^T *m v]mx11_scalar -/(dot _ v) mul_mx_scalar scalerA.
Qed.

Lemma form_covariance (u v : 'cV[R]_d) : dot u (covariance *m v) = \sum_j a j * (dot (x j - centre) u * dot (x j - centre) v).
Proof.
rewrite covarianceE dot_sumr; apply: eq_bigr => j _.
by rewrite dotZr [dot u _]dotC -mulrA [dot _ v * _]mulrC.
Qed.

Lemma form_sym (u v : 'cV[R]_d) : dot u (covariance *m v) = dot v (covariance *m u).
Proof. by rewrite !form_covariance; apply: eq_bigr => j _; rewrite [dot _ u * _]mulrC. Qed.

(** A covariance has no negative eigenvalue. *)
Theorem P2_covariance (v : 'cV[R]_d) : 0 <= dot v (covariance *m v).
Proof. by rewrite form_covariance; apply: sumr_ge0 => j _; rewrite mulr_ge0 // -expr2 sqr_ge0. Qed.

Lemma square_moved (v : 'cV[R]_d) : let m := (1%:M + kappa *: covariance) *m v in
  dot m m = dot v v + 2%:R * kappa * dot v (covariance *m v) + kappa ^+ 2 * dot (covariance *m v) (covariance *m v).
Proof.
rewrite /= mulmxDl mul1mx -scalemxAl; set C := covariance *m v.
rewrite (dot_square v) dotZr dotZl dotZr; move: (dot v v) (dot v C) (dot C C) => p q r; ring.
Qed.

(** With kappa >= 0 no length shrinks. *)
Theorem P2_expand (v : 'cV[R]_d) : 0 <= kappa ->
  let m := (1%:M + kappa *: covariance) *m v in dot v v <= dot m m.
Proof.
move=> k0; rewrite /= square_moved -addrA ler_addl addr_ge0 //.
  by apply: mulr_ge0 (P2_covariance v); rewrite mulr_ge0 ?ler0n.
by apply: mulr_ge0 (dot_ge0 _); apply: sqr_ge0.
Qed.

(** With -2 / lambda <= kappa <= 0 none grows, where lambda bounds the eigenvalues of the covariance. *)
Theorem P2_contract (v : 'cV[R]_d) :
  0 < lambda -> (forall u : 'cV[R]_d, dot u (covariance *m u) <= lambda * dot u u) -> kappa <= 0 -> - 2%:R <= kappa * lambda ->
  let m := (1%:M + kappa *: covariance) *m v in dot m m <= dot v v.
Proof.
move=> l0 bound k0 k2; rewrite /= square_moved; set C := covariance *m v; set q := dot v C.
have q0 : 0 <= q by apply: P2_covariance.
have CC : dot C C <= lambda * q.
  have := P2_covariance (v - lambda^-1 *: C); rewrite mulmxBr -scalemxAr dotBl !dotBr !dotZl !dotZr.
  rewrite (form_sym v C) -/C -/q => low.
  have high := bound C.
  have : 0 <= q - 2%:R * lambda^-1 * dot C C + lambda^-1 ^+ 2 * (lambda * dot C C).
    apply: le_trans low _.
    have -> : q - lambda^-1 * dot C C - (lambda^-1 * dot C C - lambda^-1 * (lambda^-1 * dot C (covariance *m C)))
        = q - 2%:R * lambda^-1 * dot C C + lambda^-1 ^+ 2 * dot C (covariance *m C) by ring.
    by rewrite ler_add2l; apply: ler_wpmul2l (sqr_ge0 _) _ _ high.
  have -> : q - 2%:R * lambda^-1 * dot C C + lambda^-1 ^+ 2 * (lambda * dot C C) = q - lambda^-1 * dot C C.
    by move: (dot C C) => r; field; rewrite gt_eqF.
  by rewrite subr_ge0 ler_pdivr_mull.
rewrite -addrA ger_addl.
apply: le_trans (_ : 2%:R * kappa * q + kappa ^+ 2 * (lambda * q) <= 0).
  by rewrite ler_add2l; apply: ler_wpmul2l (sqr_ge0 _) _ _ CC.
have -> : 2%:R * kappa * q + kappa ^+ 2 * (lambda * q) = kappa * (q * (2%:R + kappa * lambda)) by ring.
apply: mulr_le0_ge0 => //; apply: mulr_ge0 => //.
by rewrite -(opprK 2%:R) addrC subr_ge0.
Qed.

End Covariance.

End Distance.
