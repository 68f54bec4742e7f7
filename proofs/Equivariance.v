(** Chapter 2: a network whose matrices commute with a symmetry obeys it, layer by layer and at any depth. *)

From mathcomp Require Import all_ssreflect all_fingroup all_algebra.
From ICL Require Import Attention.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import GRing.Theory.
Local Open Scope ring_scope.

Section Equivariance.

Variables (R : fieldType) (exp : R -> R) (J : finType).

(** Every matrix of every head commutes with [Pi]. *)
Definition commuting n (Pi : 'M[R]_n) (heads : seq ('M[R]_n * 'M[R]_n)) :=
  forall head, head \in heads -> Pi *m head.1 = head.1 *m Pi /\ Pi *m head.2 = head.2 *m Pi.

(** The block permutation P (+) Q that acts on tokens: [s] permutes the features, [t] renames the classes. *)
Definition block_perm d K (s : 'S_d) (t : 'S_K) : 'M[R]_(d + K) := block_mx (perm_mx s) 0 0 (perm_mx t).

Lemma block_perm_orthogonal d K (s : 'S_d) (t : 'S_K) : (block_perm s t)^T *m block_perm s t = 1%:M.
Proof.
rewrite tr_block_mx !trmx0 !tr_perm_mx mulmx_block !mulmx0 !mul0mx !addr0 !add0r.
by rewrite -!perm_mxM !mulVg !perm_mx1 -scalar_mx_block.
Qed.

(** A layer is equivariant if its matrices commute with an orthogonal matrix [Pi], whatever function stands in the
    softmax and however many heads there are. *)
Theorem layer_equivariant n (Pi : 'M[R]_n) heads (context : J -> 'cV[R]_n) (z : 'cV[R]_n) :
  Pi^T *m Pi = 1%:M -> commuting Pi heads ->
  layer exp heads (fun j => Pi *m context j) (Pi *m z) = Pi *m layer exp heads context z.
Proof.
move=> PiPi comm; rewrite /layer mulmxDr mulmx_sumr; congr (_ + _).
apply: eq_big_seq => head /comm [commM commV].
rewrite mulmxA commV -mulmxA; congr (_ *m _).
rewrite mulmx_sumr; apply: eq_bigr => j _; rewrite -scalemxAr; congr (_ *: _).
have same k : dot (Pi *m z) (head.1 *m (Pi *m context k)) = dot z (head.1 *m context k).
  by rewrite /dot (mulmxA head.1) -commM trmx_mul -!mulmxA (mulmxA Pi^T) PiPi mul1mx.
exact: eq_softmax same j.
Qed.

(** So is a network of any depth. *)
Theorem network_equivariant n (Pi : 'M[R]_n) table (context : J -> 'cV[R]_n) (z : 'cV[R]_n) :
  Pi^T *m Pi = 1%:M -> (forall heads, heads \in table -> commuting Pi heads) ->
  network exp table (fun j => Pi *m context j) (Pi *m z) = Pi *m network exp table context z.
Proof.
move=> PiPi; elim: table context z => //= heads rest IH context z comm.
have comm1 : commuting Pi heads by apply: comm; rewrite mem_head.
rewrite -IH => [|heads' in_rest]; last by apply: comm; rewrite in_cons in_rest orbT.
by rewrite layer_equivariant //; apply: eq_network => j; apply: layer_equivariant.
Qed.

(** Permuted features and renamed classes: the answer to a query is the renamed answer. The logits are the label
    block of the query, times a scale. *)
Theorem answers_equivariant d K (s : 'S_d) (t : 'S_K) table (context : J -> 'cV[R]_(d + K)) (z : 'cV[R]_(d + K)) :
  (forall heads, heads \in table -> commuting (block_perm s t) heads) ->
  dsubmx (network exp table (fun j => block_perm s t *m context j) (block_perm s t *m z))
    = perm_mx t *m dsubmx (network exp table context z).
Proof.
move=> comm; rewrite network_equivariant ?block_perm_orthogonal //.
rewrite -[network exp table context z in LHS]vsubmxK mul_block_col !mul0mx add0r.
by rewrite col_mxKd.
Qed.

End Equivariance.
