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
  dot (z - z') (z - z')
    <= dot (next gamma alpha c z - next gamma alpha c z') (next gamma alpha c z - next gamma alpha c z').
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

(** ** Lengths under I + kappa C, with C a covariance *)

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

Lemma form_covariance (u v : 'cV[R]_d) :
  dot u (covariance *m v) = \sum_j a j * (dot (x j - centre) u * dot (x j - centre) v).
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
  0 < lambda -> (forall u : 'cV[R]_d, dot u (covariance *m u) <= lambda * dot u u) ->
  kappa <= 0 -> - 2%:R <= kappa * lambda ->
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

(** ** The derivative of a layer *)

Section Derivative.

Variables (R : realFieldType) (e : exponential R).

Lemma exp_second_order (t : R) : `|t| <= 2%:R^-1 -> 0 <= e t - 1 - t <= 2%:R * t ^+ 2.
Proof.
move=> small; have t_half : t <= 2%:R^-1 by apply: le_trans (ler_norm t) small.
set u := e t - 1 - t.
have u0 : 0 <= u by rewrite /u -addrA -opprD subr_ge0 exp_tangent.
have two : 2%:R^-1 + 2%:R^-1 = 1 :> R by rewrite [RHS](splitr 1) !div1r.
have half : 2%:R^-1 <= 1 - t by rewrite -[X in _ <= X - t]two -addrA ler_addl subr_ge0.
have below : u * (1 - t) <= t ^+ 2.
  have -> : t ^+ 2 = 1 - (1 - t ^+ 2) by ring.
  have -> : u * (1 - t) = e t * (1 - t) - (1 - t ^+ 2) by rewrite /u; ring.
  rewrite ler_add2r -[X in _ <= X](exp0 e) -(subrr t) expD.
  by apply: ler_wpmul2l; [apply: ltW; apply: exp_gt0 | apply: exp_tangent].
rewrite u0 /=; have : u * 2%:R^-1 <= t ^+ 2 by apply: le_trans below; apply: ler_wpmul2l.
by rewrite ler_pdivr_mulr ?ltr0n // mulrC.
Qed.

Section Tilt.

Variables (J : finType) (a s f : J -> R) (S F t : R).
Hypothesis a_ge0 : forall j, 0 <= a j.
Hypothesis a_sum : \sum_j a j = 1.
Hypothesis S_ge0 : 0 <= S.
Hypothesis F_ge0 : 0 <= F.
Hypothesis s_le : forall j, `|s j| <= S.
Hypothesis f_le : forall j, `|f j| <= F.
Hypothesis t_small : `|t| * S <= 2%:R^-1.

Lemma average_le (g : J -> R) B : (forall j, `|g j| <= B) -> `|\sum_j a j * g j| <= B.
Proof.
move=> g_le; apply: le_trans (ler_norm_sum _ _ _) _; rewrite -[B]mul1r -a_sum mulr_suml.
by apply: ler_sum => j _; rewrite normrM (ger0_norm (a_ge0 j)); apply: ler_wpmul2l.
Qed.

Lemma tilt_derivative :
  `|(\sum_j a j * e (t * s j) * f j) / (\sum_j a j * e (t * s j)) - \sum_j a j * f j
    - t * (\sum_j a j * (s j * f j) - (\sum_j a j * s j) * (\sum_j a j * f j))|
  <= 16%:R * F * (`|t| * S) ^+ 2.
Proof.
set q := `|t| * S; have q0 : 0 <= q by apply: mulr_ge0.
pose rest j := e (t * s j) - 1 - t * s j.
have ts_le j : `|t * s j| <= q by rewrite normrM; apply: ler_wpmul2l.
have rest_le j : `|rest j| <= 2%:R * q ^+ 2.
  have /andP [r0 r1] := exp_second_order (le_trans (ts_le j) t_small).
  rewrite (ger0_norm r0); apply: le_trans r1 _; apply: ler_wpmul2l; rewrite ?ler0n //.
  by rewrite -(real_normK (num_real (t * s j))) ler_sqr ?nnegrE.
set phi := \sum_j a j * f j; set psi := \sum_j a j * (s j * f j); set mu := \sum_j a j * s j.
pose eps := \sum_j a j * rest j; pose kap := \sum_j a j * (rest j * f j).
have NE : \sum_j a j * e (t * s j) * f j = phi + t * psi + kap.
  rewrite /phi /psi /kap mulr_sumr -!big_split /=; apply: eq_bigr => j _.
  by rewrite /rest; move: (e (t * s j)) => E; ring.
have EE : \sum_j a j * e (t * s j) = 1 + t * mu + eps.
  rewrite -a_sum /mu /eps mulr_sumr -!big_split /=; apply: eq_bigr => j _.
  by rewrite /rest; move: (e (t * s j)) => E; ring.
rewrite NE EE; have half : 2%:R^-1 <= 1 + t * mu + eps.
  have -> : 2%:R^-1 = \sum_j a j * 2%:R^-1 by rewrite -mulr_suml a_sum mul1r.
  rewrite -EE; apply: ler_sum => j _; apply: ler_wpmul2l => //.
  apply: le_trans (exp_tangent e _); have two : 2%:R^-1 + 2%:R^-1 = 1 :> R by rewrite [RHS](splitr 1) !div1r.
  rewrite -[X in _ <= X + _]two -addrA ler_addl -ler_subl_addl sub0r.
  by have := le_trans (ts_le j) t_small; rewrite ler_norml => /andP [].
have E0 : 0 < 1 + t * mu + eps by apply: lt_le_trans half; rewrite invr_gt0 ltr0n.
have -> : (phi + t * psi + kap) / (1 + t * mu + eps) - phi - t * (psi - mu * phi)
    = (kap - phi * eps - t * (psi - mu * phi) * (t * mu + eps)) / (1 + t * mu + eps).
  by field; rewrite gt_eqF.
have kap_le : `|kap| <= 2%:R * q ^+ 2 * F.
  by apply: average_le => j; rewrite normrM; apply: ler_pmul.
have eps_le : `|eps| <= 2%:R * q ^+ 2 by apply: average_le.
have phi_le : `|phi| <= F by apply: average_le.
have mu_le : `|mu| <= S by apply: average_le.
have psi_le : `|psi| <= S * F by apply: average_le => j; rewrite normrM; apply: ler_pmul.
have slope_le : `|t * (psi - mu * phi)| <= 2%:R * q * F.
  have -> : 2%:R * q * F = `|t| * (S * F + S * F) by rewrite /q; ring.
  rewrite normrM; apply: ler_wpmul2l => //; apply: le_trans (ler_norm_sub _ _) _.
  by apply: ler_add => //; rewrite normrM; apply: ler_pmul.
have drift_le : `|t * mu + eps| <= 2%:R * q.
  apply: le_trans (ler_norm_add _ _) _; have -> : 2%:R * q = q + q by ring.
  apply: ler_add; first by rewrite normrM; apply: ler_wpmul2l.
  apply: le_trans eps_le _; have -> : 2%:R * q ^+ 2 = (q * 2%:R) * q by ring.
  by rewrite -[X in _ <= X]mul1r; apply: ler_wpmul2r => //; rewrite -ler_pdivl_mulr ?ltr0n // mul1r.
rewrite normrM normfV (gtr0_norm E0) ler_pdivr_mulr //.
apply: le_trans (_ : 8%:R * F * q ^+ 2 <= _); last first.
  have -> : 8%:R * F * q ^+ 2 = 16%:R * F * q ^+ 2 * 2%:R^-1 by field.
  by apply: ler_wpmul2l => //; rewrite !mulr_ge0 ?ler0n ?sqr_ge0.
have -> : 8%:R * F * q ^+ 2 = 2%:R * q ^+ 2 * F + F * (2%:R * q ^+ 2) + 2%:R * q * F * (2%:R * q) by ring.
apply: le_trans (ler_norm_sub _ _) _; apply: ler_add; last by rewrite normrM; apply: ler_pmul.
by apply: le_trans (ler_norm_sub _ _) _; apply: ler_add => //; rewrite normrM; apply: ler_pmul.
Qed.

End Tilt.

(** Of second order: below a multiple of t^2, entry by entry, for small t. *)
Definition second_order d (g : R -> 'cV[R]_d) :=
  exists r B, 0 < r /\ forall t i, `|t| <= r -> `|g t i 0| <= B * t ^+ 2.

Lemma second_order0 d : second_order (fun _ => 0 : 'cV[R]_d).
Proof. by exists 1, 0; split=> // t i _; rewrite mxE normr0 mul0r. Qed.

Lemma second_orderD d (g h : R -> 'cV[R]_d) : second_order g -> second_order h -> second_order (fun t => g t + h t).
Proof.
case=> [r [B [r0 gB]]] [r' [B' [r'0 hB]]]; exists (Num.min r r'), (B + B'); split; first by rewrite lt_minr r0.
move=> t i; rewrite le_minr => /andP [tr tr']; rewrite mxE mulrDl.
by apply: le_trans (ler_norm_add _ _) _; apply: ler_add; [apply: gB | apply: hB].
Qed.

Lemma second_orderM d d' (V : 'M[R]_(d', d)) (g : R -> 'cV[R]_d) : second_order g -> second_order (fun t => V *m g t).
Proof.
case=> [r [B [r0 gB]]]; exists r, (\sum_i \sum_k `|V i k| * `|B|); split=> // t i tr.
rewrite mxE; apply: le_trans (ler_norm_sum _ _ _) _.
have term_ge0 i' : 0 <= \sum_k `|V i' k| * `|B| by apply: sumr_ge0 => k _; apply: mulr_ge0.
apply: (@le_trans _ _ ((\sum_k `|V i k| * `|B|) * t ^+ 2)); last first.
  apply: ler_wpmul2r; first exact: sqr_ge0.
  by rewrite (bigD1 i) //=; apply: ler_paddr => //; apply: sumr_ge0 => i' _.
rewrite mulr_suml; apply: ler_sum => k _; rewrite normrM -mulrA; apply: ler_wpmul2l => //.
apply: le_trans (gB t k tr) _; apply: ler_wpmul2r; first exact: sqr_ge0.
exact: ler_norm.
Qed.

Lemma eq_second_order d (g h : R -> 'cV[R]_d) : (forall t, g t = h t) -> second_order g -> second_order h.
Proof. by move=> same [r [B [r0 gB]]]; exists r, B; split=> // t i tr; rewrite -same; apply: gB. Qed.

Section Layer.

Variables (n : nat) (J : finType) (context : J -> 'cV[R]_n).

(** The covariance of the context under the attention of the reader [z]. *)
Definition attention_covariance (M : 'M[R]_n) (z : 'cV[R]_n) : 'M[R]_n := covariance context (attention e M context z).

(** I + sum_h V_h Cov_h M_h^T. *)
Definition jacobian (heads : seq ('M[R]_n * 'M[R]_n)) (z : 'cV[R]_n) : 'M[R]_n :=
  1%:M + \sum_(head <- heads) head.2 *m attention_covariance head.1 z *m head.1^T.

Lemma head_derivative M z v : (0 < #|J|)%N ->
  second_order (fun t => \sum_j attention e M context (z + t *: v) j *: context j
    - \sum_j attention e M context z j *: context j - t *: (attention_covariance M z *m (M^T *m v))).
Proof.
case/card_gt0P => j0 _.
pose a := attention e M context z; pose s j := dot v (M *m context j).
have a0 j : 0 <= a j by apply: ltW; apply: softmax_gt0.
have a1 : \sum_j a j = 1 by apply: softmax_sum.
pose S := 1 + \sum_j `|s j|; pose F := \sum_j \sum_i `|context j i 0|.
have sums0 (T : finType) (g : T -> R) : 0 <= \sum_k `|g k| by apply: sumr_ge0.
have S0 : 0 < S by apply: ltr_paddr.
have F0 : 0 <= F by apply: sumr_ge0 => j _.
have sS j : `|s j| <= S.
  by apply: ler_paddl ler01 _; rewrite (bigD1 j) //=; apply: ler_paddr => //; apply: sumr_ge0.
have fF i j : `|context j i 0| <= F.
  rewrite /F (bigD1 j) //=; apply: ler_paddr; first by apply: sumr_ge0 => k _.
  by rewrite (bigD1 i) //=; apply: ler_paddr => //; apply: sumr_ge0.
exists (2%:R * S)^-1, (16%:R * F * S ^+ 2); split; first by rewrite invr_gt0 mulr_gt0 ?ltr0n.
move=> t i small; have tS : `|t| * S <= 2%:R^-1.
  by rewrite -ler_pdivl_mulr // -invfM mulrC in small *.
have := tilt_derivative a0 a1 (ltW S0) F0 sS (fF i) tS.
have -> : 16%:R * F * (`|t| * S) ^+ 2 = 16%:R * F * S ^+ 2 * t ^+ 2.
  by rewrite exprMn (real_normK (num_real t)); ring.
rewrite !mxE !summxE.
have shifted j : attention e M context (z + t *: v) j = a j * e (t * s j) / \sum_k a k * e (t * s k).
  rewrite /attention (softmax_shift e _ (fun k => dot z (M *m context k))).
  have diff k : dot (z + t *: v) (M *m context k) - dot z (M *m context k) = t * s k.
    by rewrite dotDl dotZl addrC addKr.
  by rewrite diff; congr (_ / _); apply: eq_bigr => k _; rewrite diff.
have covE : \sum_k attention_covariance M z i k * (M^T *m v) k 0
    = \sum_j a j * (s j * context j i 0) - (\sum_j a j * s j) * (\sum_j a j * context j i 0).
  transitivity ((attention_covariance M z *m (M^T *m v)) i 0); first by rewrite [RHS]mxE.
  rewrite /attention_covariance covarianceE summxE -/a.
  have muE : dot v (M *m centre context a) = \sum_j a j * s j.
    by rewrite mulmx_sumr dot_sumr; apply: eq_bigr => k _; rewrite -scalemxAr dotZr.
  have centreE : centre context a i 0 = \sum_j a j * context j i 0.
    by rewrite summxE; apply: eq_bigr => k _; rewrite mxE.
  set mu := \sum_j a j * s j in muE *; set phi := \sum_j a j * context j i 0 in centreE *.
  rewrite [LHS](eq_bigr (fun j => a j * (s j * context j i 0) - a j * s j * phi - mu * (a j * context j i 0)
      + mu * phi * a j)) => [|j _]; last first.
    have -> : dot (context j - centre context a) (M^T *m v) = s j - mu.
      by rewrite dotC -muE -dotBr -mulmxBr /dot trmx_mul trmxK mulmxA.
    rewrite !mxE centreE; move: (context j i 0) (s j) => p q; ring.
  rewrite big_split !sumrB /= -mulr_suml -!mulr_sumr a1 -/mu -/phi; ring.
rewrite covE.
have -> : \sum_k (attention e M context (z + t *: v) k *: context k) i 0
    = (\sum_j a j * e (t * s j) * context j i 0) / (\sum_j a j * e (t * s j)).
  by rewrite mulr_suml; apply: eq_bigr => k _; rewrite mxE shifted mulrAC.
have -> : \sum_k (attention e M context z k *: context k) i 0 = \sum_j a j * context j i 0.
  by apply: eq_bigr => k _; rewrite mxE.
by [].
Qed.

(** This is the derivative of a layer: in every direction [v], up to an error of second order; for any matrices, any
    number of heads, queries included. *)
Theorem P2_jacobian heads z v : (0 < #|J|)%N ->
  second_order (fun t =>
    layer e heads context (z + t *: v) - layer e heads context z - t *: (jacobian heads z *m v)).
Proof.
move=> J0; elim: heads => [|head rest IH].
  apply: eq_second_order (second_order0 n) => t.
  by rewrite /layer /jacobian !big_nil !addr0 mul1mx [z + _]addrC addrK subrr.
apply: eq_second_order (second_orderD IH (second_orderM head.2 (head_derivative head.1 z v J0))) => t.
rewrite /layer /jacobian !big_cons !mulmxBr !mulmxDl !mul1mx -!scalemxAr -!mulmxA.
move: (\sum_(_ <- _) _) (\sum_(_ <- _) _) (_ *m v) => P Q W.
move: (head.2 *m _) (head.2 *m _) (head.2 *m _) => A B C.
apply/colP => i; rewrite !mxE; move: (z i 0) (v i 0) (P i 0) (Q i 0) (W i 0) => z' v' p q w.
by move: (A i 0) (B i 0) (C i 0) => a b c; ring.
Qed.

End Layer.
End Derivative.
