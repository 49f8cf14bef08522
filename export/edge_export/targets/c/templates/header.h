/* @title@: see @name@.c */
#ifndef @NAME@_H
#define @NAME@_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define @NAME@_CLASSES @classes@
#define @NAME@_TEMPERATURE @temperature@  /* probabilities are the softmax of logits / temperature */
#define @NAME@_BUNDLE_SHA256 "@sha256@"
extern const char *const @name@_labels[@NAME@_CLASSES];

/* The logits of an image, row by row, ink 255 on background 0. */
void @name@_logits(const uint8_t image[784], float logits[@NAME@_CLASSES]);

/* The index of the highest logit: the label is @name@_labels[index]. */
int @name@_label(const uint8_t image[784]);

/*== score ==*/
/* How much an image looks like one of the labels, from its logits: below the threshold it shows none of them. */
float @name@_score(const float logits[@NAME@_CLASSES]);
#define @NAME@_REJECTION_THRESHOLD @threshold@

/*== all ==*/
#ifdef @NAME@_FRAME /* define it for both files, and this is there too */
/* The image of a drawing of any size, ink up to 255 on background 0, as the pad of `edge serve` frames it: scaled to
   20x20, its centre of mass in the middle. Returns 0 where nothing is drawn. */
int @name@_frame(const uint8_t *drawing, int width, int height, uint8_t image[784]);
#endif

#ifdef __cplusplus
}
#endif
#endif
